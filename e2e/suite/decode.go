package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// decodeExactly decodes a JSON object into the struct that value points to. In contrast
// to encoding/json, member names must match letter by letter. Unknown members are
// errors, and so are required ones that are missing.
func decodeExactly(data []byte, value any, required ...string) error {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	for _, name := range required {
		if _, found := members[name]; !found {
			return fmt.Errorf("member %q is missing", name)
		}
	}
	if err := checkNames(data, reflect.TypeOf(value), ""); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(value)
}

// checkNames holds the member names of data, at any depth, against those of the
// type.
func checkNames(data json.RawMessage, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Implements(reflect.TypeFor[json.Unmarshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice:
		var elements []json.RawMessage
		if json.Unmarshal(data, &elements) != nil {
			return nil // the wrong kind of value: decoding has the better error
		}
		for i, element := range elements {
			if err := checkNames(element, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) != nil {
			return nil
		}
		fields := map[string]reflect.Type{}
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" {
				name = field.Name
			}
			if name != "-" {
				fields[name] = field.Type
			}
		}
		for name, member := range members {
			field, found := fields[name]
			if !found {
				return fmt.Errorf("member %q is not in the contract", strings.TrimPrefix(path+"."+name, "."))
			}
			if err := checkNames(member, field, path+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}
