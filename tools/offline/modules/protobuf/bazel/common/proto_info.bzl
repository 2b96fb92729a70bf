"""ProtoInfo of Bazel 7."""

load("//bazel/common:builtin.bzl", "builtin_proto_info")

ProtoInfo = builtin_proto_info
