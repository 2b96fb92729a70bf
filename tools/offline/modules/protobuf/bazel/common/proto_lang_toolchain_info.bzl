"""ProtoLangToolchainInfo of Bazel 7."""

load("//bazel/common:builtin.bzl", "builtin_proto_lang_toolchain_info")

ProtoLangToolchainInfo = builtin_proto_lang_toolchain_info
