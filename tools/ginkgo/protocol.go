package ginkgo

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// protocol is what Bazel passes to a test in environment variables (the "test
// encyclopedia"). The zero value stands for a run without Bazel.
type protocol struct {
	target string // label, empty without Bazel
	// keepsVerdict is true if Bazel keeps what comes of the run, as its test command does
	// and its run command does not.
	keepsVerdict bool
	filter       string

	shard, shards int // shard counts from 0; shards is at least 1
	statusFile    string

	timeout   time.Duration // 0: none given
	seed      int64         // 0: none given
	runNumber string        // of --runs_per_test

	timingsFile string // declared by the target; a runfile path

	failFast           bool
	xmlFile            string
	outputsDir         string
	infrastructureFile string
	prematureExitFile  string
}

// timingsVariable is not Bazel's: ginkgo_test sets it.
const timingsVariable = "GINKGO_BRIDGE_TIMINGS"

func readProtocol(getenv func(string) string) (protocol, error) {
	p := protocol{
		target:             getenv("TEST_TARGET"),
		filter:             getenv("TESTBRIDGE_TEST_ONLY"),
		shards:             1,
		runNumber:          getenv("TEST_RUN_NUMBER"),
		timingsFile:        getenv(timingsVariable),
		failFast:           getenv("TESTBRIDGE_TEST_RUNNER_FAIL_FAST") == "1",
		xmlFile:            getenv("XML_OUTPUT_FILE"),
		outputsDir:         getenv("TEST_UNDECLARED_OUTPUTS_DIR"),
		infrastructureFile: getenv("TEST_INFRASTRUCTURE_FAILURE_FILE"),
		prematureExitFile:  getenv("TEST_PREMATURE_EXIT_FILE"),
	}
	p.keepsVerdict = p.target != "" && getenv("BUILD_WORKSPACE_DIRECTORY") == ""
	number := func(name string) (int64, error) {
		value := getenv(name)
		if value == "" {
			return 0, nil
		}
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("read %s: %q is not a non-negative number", name, value)
		}
		return n, nil
	}
	total, err := number("TEST_TOTAL_SHARDS")
	if err != nil {
		return p, err
	}
	if total > 0 {
		index, err := number("TEST_SHARD_INDEX")
		if err != nil {
			return p, err
		}
		if index >= total {
			return p, fmt.Errorf("read TEST_SHARD_INDEX: %d is not below TEST_TOTAL_SHARDS=%d", index, total)
		}
		p.shard, p.shards = int(index), int(total)
		p.statusFile = getenv("TEST_SHARD_STATUS_FILE")
	}
	seconds, err := number("TEST_TIMEOUT")
	if err != nil {
		return p, err
	}
	p.timeout = time.Duration(seconds) * time.Second
	if p.seed, err = number("TEST_RANDOM_SEED"); err != nil {
		return p, err
	}
	return p, nil
}

// byHand is the command by which a person runs the test with a flag.
func (p protocol) byHand(flag string) string {
	if p.target == "" {
		return "go test -args " + flag
	}
	return "bazel run " + p.target + " -- " + flag
}

// announce touches the files by which Bazel sees that this test understands sharding,
// and that an exit without conclude is premature.
func (p protocol) announce() error {
	for _, file := range []string{p.statusFile, p.prematureExitFile} {
		if file == "" {
			continue
		}
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			return fmt.Errorf("touch file that Bazel asks for: %w", err)
		}
	}
	return nil
}

func (p protocol) conclude() {
	if p.prematureExitFile != "" {
		// Bazel may have taken its directory away; a leftover only fails the test.
		_ = os.Remove(p.prematureExitFile)
	}
}

// position is "shard 2 of 3", or empty for a test that is not sharded.
func (p protocol) position() string {
	if p.shards == 1 {
		return ""
	}
	return fmt.Sprintf("shard %d of %d", p.shard+1, p.shards)
}

// logsFolder is where Bazel keeps this process's log below bazel-testlogs.
func (p protocol) logsFolder() string {
	label := p.target
	if repository, inside, found := strings.Cut(label, "//"); found {
		label = inside
		if repository = strings.TrimLeft(repository, "@"); repository != "" {
			label = "external/" + repository + "/" + inside
		}
	}
	folder := strings.TrimPrefix(strings.Replace(label, ":", "/", 1), "/")
	parts := []string{}
	if p.shards > 1 {
		parts = append(parts, fmt.Sprintf("shard_%d_of_%d", p.shard+1, p.shards))
	}
	if p.runNumber != "" {
		parts = append(parts, fmt.Sprintf("run_%s_of_*", p.runNumber))
	}
	return filepath.Join(folder, strings.Join(parts, "_"))
}

// className turns the label into what JUnit readers group by: //e2e:storm_test
// becomes e2e.storm_test.
func (p protocol) className(suite string) string {
	label := strings.TrimPrefix(strings.TrimLeft(p.target, "@"), "//")
	if label == "" {
		return suite
	}
	return strings.Trim(strings.NewReplacer("//", ".", "/", ".", ":", ".").Replace(label), ".")
}

// writeFile replaces path as a whole: a reader sees the old or the new content.
func writeFile(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = temporary.Write(content)
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(temporary.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
