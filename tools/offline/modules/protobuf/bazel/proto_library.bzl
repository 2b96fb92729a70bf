"""proto_library of Bazel 7."""

load("//bazel/common:builtin.bzl", "builtin_proto_library")

proto_library = builtin_proto_library
