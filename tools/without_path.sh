#!/bin/sh
# What each test runs under in .ci/run (--run_under): with an empty PATH, so that a test
# that needs a program which it doesn't declare fails there and not on another machine.
# The exception is Gazelle's own test, a script for bash that reads the source tree.
case "$TEST_TARGET" in
//:gazelle_test) ;;
*)
    PATH=/nonexistent
    export PATH
    ;;
esac
exec "$@"
