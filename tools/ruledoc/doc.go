// Package ruledoc writes the reference of Bazel rules as Markdown, from what
// starlark_doc_extract found in .bzl files. The docstrings are the only place where
// a rule is documented: Missing names what has none.
package ruledoc
