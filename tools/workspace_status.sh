#!/bin/sh
# The fixture's ClusterUp action has this value among its inputs so that Bazel
# runs it in every build; its output does not depend on it (tools/fixture).
echo "STABLE_STORMGATE_BUILD $(date +%s%N)"
