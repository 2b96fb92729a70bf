#!/bin/sh
# What each test runs under (--run_under in .bazelrc): with an empty PATH, so that a test
# that needs a program which it doesn't declare fails here and not on another machine.
# The exception is Gazelle's own test, a script for bash that reads the source tree.
case "$TEST_TARGET" in
//:gazelle_test) ;;
*)
    PATH=/nonexistent
    export PATH
    ;;
esac
exec "$@"
