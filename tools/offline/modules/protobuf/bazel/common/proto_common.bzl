"""proto_common of Bazel 7."""

load("//bazel/common:builtin.bzl", "builtin_proto_common")

proto_common = builtin_proto_common
