"""Bazel 7's built-in protobuf names under others, since a .bzl can't redefine a builtin in place."""

# buildifier: disable=native-proto-common
builtin_proto_common = proto_common

# buildifier: disable=native-proto-info
builtin_proto_info = ProtoInfo

# buildifier: disable=native-proto-common
builtin_proto_lang_toolchain_info = proto_common.ProtoLangToolchainInfo if hasattr(proto_common, "ProtoLangToolchainInfo") else None
builtin_proto_library = native.proto_library
