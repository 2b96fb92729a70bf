// Package agreement holds the two ways by which tools/bazel finds modules to one another:
// Bazel's registry, which MODULE.bazel is for, and the offline root of
// tools/offline/setup.sh. On each machine only one of them runs, so a change that serves
// one can break the other unseen.
package agreement
