package openapi

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// resolve follows a reference, if the value is one. It reports whether the result
// is an object.
func (d *Description) resolve(value any) (map[string]any, bool) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	reference, ok := object["$ref"].(string)
	if !ok {
		return object, true
	}
	var at any = d.root
	for step := range strings.SplitSeq(strings.TrimPrefix(reference, "#/"), "/") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		at = object[step]
	}
	return d.resolve(at)
}

// place names where a schema stands in the description: the component that it
// refers to, or else where it was met.
func place(schema any, met string) string {
	object, _ := schema.(map[string]any)
	if reference, ok := object["$ref"].(string); ok {
		return reference[strings.LastIndexByte(reference, '/')+1:]
	}
	return met
}

// survey notes the members and values that a schema describes, and refuses
// keywords that validate does not know.
func (d *Description) survey(met string, described any) error {
	where := place(described, met)
	schema, ok := d.resolve(described)
	if !ok {
		return fmt.Errorf("%s: no schema is at %v", met, described)
	}
	if where != met {
		if d.surveyed[where] {
			return nil
		}
		d.surveyed[where] = true
	}
	for keyword, argument := range schema {
		var err error
		switch keyword {
		case "description", "type", "const", "required", "format", "minimum", "minLength", "maxLength", "minItems", "unevaluatedProperties":
		case "pattern":
			text, _ := argument.(string)
			_, err = regexp.Compile(text)
		case "enum":
			values, _ := argument.([]any)
			for _, value := range values {
				d.unseen[fmt.Sprintf("%s = %v", where, value)] = true
			}
		case "items", "additionalProperties":
			err = d.survey(where, argument)
		case "properties":
			properties, _ := argument.(map[string]any)
			for name, property := range properties {
				d.unseen[where+"."+name] = true
				err = errors.Join(err, d.survey(where+"."+name, property))
			}
		case "allOf", "oneOf":
			branches, _ := argument.([]any)
			for _, branch := range branches {
				err = errors.Join(err, d.survey(where, branch))
			}
		default:
			err = fmt.Errorf("%s: keyword %s is not known", where, keyword)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// validate checks a JSON value, which is at some place in a body, against a
// schema that was met at some place in the description. It returns the members
// that the schema describes.
func (d *Description) validate(at, met string, described, value any) (known []string, err error) {
	where := place(described, met)
	schema, ok := d.resolve(described)
	if !ok {
		return nil, fmt.Errorf("%s: no schema is at %v", at, described)
	}
	if err := scalar(schema, value); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if schema["enum"] != nil {
		delete(d.unseen, fmt.Sprintf("%s = %v", where, value))
	}
	if list, ok := value.([]any); ok && schema["items"] != nil {
		for i, item := range list {
			if _, err := d.validate(fmt.Sprintf("%s[%d]", at, i), where, schema["items"], item); err != nil {
				return nil, err
			}
		}
	}
	object, isObject := value.(map[string]any)
	if isObject {
		if known, err = d.members(at, where, schema, object); err != nil {
			return nil, err
		}
	}
	branches, err := d.branches(at, where, schema, value)
	if err != nil {
		return nil, err
	}
	known = append(known, branches...)
	if isObject && schema["unevaluatedProperties"] == false {
		for name := range object {
			if !slices.Contains(known, name) {
				return nil, fmt.Errorf("%s: member %s is not described", at, name)
			}
		}
	}
	return known, nil
}

func (d *Description) members(at, where string, schema, object map[string]any) (known []string, err error) {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return nil, fmt.Errorf("%s: member %s is missing", at, name)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, member := range object {
		property, ok := properties[name]
		if ok {
			delete(d.unseen, where+"."+name)
		} else if property = schema["additionalProperties"]; property == nil {
			continue
		}
		if _, err := d.validate(at+"."+name, where+"."+name, property, member); err != nil {
			return nil, err
		}
		known = append(known, name)
	}
	return known, nil
}

func (d *Description) branches(at, where string, schema map[string]any, value any) (known []string, err error) {
	all, _ := schema["allOf"].([]any)
	for _, branch := range all {
		names, err := d.validate(at, where, branch, value)
		if err != nil {
			return nil, err
		}
		known = append(known, names...)
	}
	one, _ := schema["oneOf"].([]any)
	var failures []error
	for _, branch := range one {
		names, err := d.validate(at, where, branch, value)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		known = append(known, names...)
	}
	if matches := len(one) - len(failures); len(one) > 0 && matches != 1 {
		return nil, fmt.Errorf("%s: matches %d of the alternatives: %w", at, matches, errors.Join(failures...))
	}
	return known, nil
}

// scalar checks all that needs no other schema.
func scalar(schema map[string]any, value any) error {
	if types, ok := schema["type"]; ok && !hasType(types, value) {
		return fmt.Errorf("%v is not of type %v", value, types)
	}
	if want, ok := schema["const"]; ok && !reflect.DeepEqual(value, want) {
		return fmt.Errorf("is %v, want %v", value, want)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.ContainsFunc(enum, func(want any) bool { return reflect.DeepEqual(value, want) }) {
		return fmt.Errorf("%v is none of %v", value, enum)
	}
	switch value := value.(type) {
	case float64:
		if minimum, ok := schema["minimum"].(float64); ok && value < minimum {
			return fmt.Errorf("%v is less than %v", value, minimum)
		}
	case []any:
		if minimum, ok := schema["minItems"].(float64); ok && len(value) < int(minimum) {
			return fmt.Errorf("has %d items, at least %v are described", len(value), minimum)
		}
	case string:
		return text(schema, value)
	}
	return nil
}

func text(schema map[string]any, value string) error {
	length := float64(utf8.RuneCountInString(value))
	if minimum, ok := schema["minLength"].(float64); ok && length < minimum {
		return fmt.Errorf("%q is shorter than %v", value, minimum)
	}
	if maximum, ok := schema["maxLength"].(float64); ok && length > maximum {
		return fmt.Errorf("%q is longer than %v", value, maximum)
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
		return fmt.Errorf("%q does not match %s", value, pattern)
	}
	if schema["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			return err
		}
	}
	return nil
}

func hasType(types, value any) bool {
	if list, ok := types.([]any); ok {
		return slices.ContainsFunc(list, func(name any) bool { return hasType(name, value) })
	}
	switch value := value.(type) {
	case nil:
		return types == "null"
	case bool:
		return types == "boolean"
	case string:
		return types == "string"
	case float64:
		return types == "number" || types == "integer" && value == float64(int64(value))
	case []any:
		return types == "array"
	case map[string]any:
		return types == "object"
	}
	return false
}
