"""Whether a build is one for coverage."""

# live.Variable in //tools/coverage/live.
LIVE_VARIABLE = "STORMGATE_COVERAGE"

def when_covered(covered, otherwise):
    """A `select` that is one value under `bazel coverage`, another in every other build.

    Args:
      covered: the value under `bazel coverage`.
      otherwise: the value in other builds.

    Returns:
      What an attribute takes as its value.
    """
    return select({
        Label("//tools/coverage:enabled"): covered,
        "//conditions:default": otherwise,
    })
