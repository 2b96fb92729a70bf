package ruledoc

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// Module is what Bazel's rule starlark_doc_extract reports of a .bzl file: the part
// of its message stardoc_output.ModuleInfo that the reference shows. The tags are the
// schema, src/main/protobuf/stardoc_output.proto of Bazel; no Go module has it.
// Fields that are not here are skipped.
type Module struct {
	message
	Rules      []*Rule      `protobuf:"bytes,1,rep,name=rule_info,proto3"`
	Providers  []*Provider  `protobuf:"bytes,2,rep,name=provider_info,proto3"`
	Functions  []*Function  `protobuf:"bytes,3,rep,name=func_info,proto3"`
	Doc        string       `protobuf:"bytes,5,opt,name=module_docstring,proto3"`
	File       string       `protobuf:"bytes,6,opt,name=file,proto3"` // its label
	Extensions []*Extension `protobuf:"bytes,7,rep,name=module_extension_info,proto3"`
}

// Rule is a rule that is exported under its name.
type Rule struct {
	message
	Name       string       `protobuf:"bytes,1,opt,name=rule_name,proto3"`
	Doc        string       `protobuf:"bytes,2,opt,name=doc_string,proto3"`
	Attributes []*Attribute `protobuf:"bytes,3,rep,name=attribute,proto3"`
}

// Attribute is one of a rule or of a tag class.
type Attribute struct {
	message
	Name      string `protobuf:"bytes,1,opt,name=name,proto3"`
	Doc       string `protobuf:"bytes,2,opt,name=doc_string,proto3"`
	Mandatory bool   `protobuf:"varint,4,opt,name=mandatory,proto3"`
	Default   string `protobuf:"bytes,6,opt,name=default_value,proto3"` // in Starlark
}

// Provider is a provider with its fields.
type Provider struct {
	message
	Name   string   `protobuf:"bytes,1,opt,name=provider_name,proto3"`
	Doc    string   `protobuf:"bytes,2,opt,name=doc_string,proto3"`
	Fields []*Field `protobuf:"bytes,3,rep,name=field_info,proto3"`
}

// Field is a provider's.
type Field struct {
	message
	Name string `protobuf:"bytes,1,opt,name=name,proto3"`
	Doc  string `protobuf:"bytes,2,opt,name=doc_string,proto3"`
}

// Function is a macro, or another function that a BUILD file calls.
type Function struct {
	message
	Name       string       `protobuf:"bytes,1,opt,name=function_name,proto3"`
	Parameters []*Parameter `protobuf:"bytes,2,rep,name=parameter,proto3"`
	Doc        string       `protobuf:"bytes,3,opt,name=doc_string,proto3"`
	Returns    *Returns     `protobuf:"bytes,4,opt,name=return,proto3"`
}

// Parameter is a function's.
type Parameter struct {
	message
	Name      string `protobuf:"bytes,1,opt,name=name,proto3"` // without the asterisks
	Doc       string `protobuf:"bytes,2,opt,name=doc_string,proto3"`
	Default   string `protobuf:"bytes,3,opt,name=default_value,proto3"` // in Starlark
	Mandatory bool   `protobuf:"varint,4,opt,name=mandatory,proto3"`
	Role      int32  `protobuf:"varint,5,opt,name=role,proto3"`
}

// Roles of parameters that take what others leave.
const (
	roleVarargs = 4
	roleKwargs  = 5
)

// Returns is what a function returns.
type Returns struct {
	message
	Doc string `protobuf:"bytes,1,opt,name=doc_string,proto3"`
}

// Extension is a module extension.
type Extension struct {
	message
	Name string `protobuf:"bytes,1,opt,name=extension_name,proto3"`
	Doc  string `protobuf:"bytes,2,opt,name=doc_string,proto3"`
	Tags []*Tag `protobuf:"bytes,3,rep,name=tag_class,proto3"`
}

// Tag is a tag class of a module extension.
type Tag struct {
	message
	Name       string       `protobuf:"bytes,1,opt,name=tag_name,proto3"`
	Doc        string       `protobuf:"bytes,2,opt,name=doc_string,proto3"`
	Attributes []*Attribute `protobuf:"bytes,3,rep,name=attribute,proto3"`
}

// message makes a struct one that the protobuf library decodes by its tags.
type message struct{}

func (*message) Reset()         {}
func (*message) String() string { return "" }
func (*message) ProtoMessage()  {}

// Parse reads a .binaryproto file of starlark_doc_extract.
func Parse(data []byte) (*Module, error) {
	var m Module
	if err := proto.Unmarshal(data, protoadapt.MessageV2Of(&m)); err != nil {
		return nil, fmt.Errorf("parse module info: %w", err)
	}
	if m.File == "" {
		return nil, fmt.Errorf("parse module info: it names no file: is it an output of starlark_doc_extract?")
	}
	return &m, nil
}
