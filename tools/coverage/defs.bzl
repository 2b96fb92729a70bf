"""Coverage of programs that run beside a test."""

load("//tools/coverage/private:coverage.bzl", _LIVE_VARIABLE = "LIVE_VARIABLE", _when_covered = "when_covered")
load("//tools/coverage/private:covered_go_binary.bzl", _covered_go_binary = "covered_go_binary")

LIVE_VARIABLE = _LIVE_VARIABLE
covered_go_binary = _covered_go_binary
when_covered = _when_covered
