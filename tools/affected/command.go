package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/affected/internal/analysis"
	"stormgate.internal/tools/affected/internal/git"
	"stormgate.internal/tools/affected/internal/gomod"
	"stormgate.internal/tools/affected/internal/index"
	"stormgate.internal/tools/affected/internal/snapshot"
	"stormgate.internal/tools/internal/outfile"
)

// worktree is the head that is no revision.
const worktree = "worktree"

type flags struct {
	base, head        string
	exactBase         bool
	output            string
	targetPatternFile string
	run               bool
	explain           []string
	includeManual     bool
	repository        string
	index             string
	check             bool
	configs           []string
	verbose           bool
}

// usageError is a wrong command line.
type usageError struct{ error }

func command(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "affected --base=REV [flags] [--run -- flags of bazel test]",
		Short: "Say which tests a change can affect, and why",
		Long: `Says which tests can behave differently at the head than at the base, each with the
shortest chain of reasons. Nothing is built, nothing is fetched, no Bazel is asked.

The base is the merge base of --base and the head: what the head's branch changed,
whatever has happened on the other branch since. --exact_base compares with --base
itself.

Exit code 0: done, whatever was found. 1: it can't be said, or --check found
differences. 2: wrong command line. With --run: that of bazel test.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(args); err != nil {
				return &usageError{err}
			}
			t := &tool{flags: f, args: args, stdout: stdout, stderr: stderr, started: time.Now()}
			return t.execute(cmd.Context())
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.Flags().StringVar(&f.base, "base", "", "what to compare with: the merge base of this revision and the head")
	cmd.Flags().BoolVar(&f.exactBase, "exact_base", false, "compare with --base itself, not with the merge base")
	cmd.Flags().StringVar(&f.head, "head", worktree, "a revision, or 'worktree': tracked files as they are now, and new ones")
	cmd.Flags().StringVar(&f.output, "output", "text", "text, json, or github: a Markdown summary, also appended to $GITHUB_STEP_SUMMARY, with count, everything and tests in $GITHUB_OUTPUT")
	cmd.Flags().StringVar(&f.targetPatternFile, "target_pattern_file", "", "write the tests' labels to this file, one a line, for bazel test --target_pattern_file; '-' is standard output, in place of --output")
	cmd.Flags().BoolVar(&f.run, "run", false, "run bazel test on the tests; what follows -- are its flags")
	cmd.Flags().StringArrayVar(&f.explain, "explain", nil, "say why this label, of a test or of anything else, is affected or not; repeatable")
	cmd.Flags().BoolVar(&f.includeManual, "include_manual", false, "list tests with the tag manual too, which //... leaves out")
	cmd.Flags().StringVar(&f.repository, "repository", "", "the workspace, or a folder in it, or a bare repository (default: $BUILD_WORKSPACE_DIRECTORY, else the current folder)")
	cmd.Flags().StringVar(&f.index, "index", "", "file that keeps evaluated packages between calls; 'none' keeps none (default: one a workspace, in the user's cache folder)")
	cmd.Flags().BoolVar(&f.check, "check", false, "compare the graph of the work tree with that of bazel query, and list differences")
	cmd.Flags().StringArrayVar(&f.configs, "config", nil, "a config of .bazelrc that the tests are run with; repeatable (default: none, and lines of configs affect nothing)")
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "say on standard error how long each step takes")
	return cmd
}

func (f *flags) validate(args []string) error {
	switch f.output {
	case "text", "json", "github":
	default:
		return fmt.Errorf("--output is %q: it can be text, json or github", f.output)
	}
	if len(args) > 0 && !f.run {
		return fmt.Errorf("arguments %q: only --run takes any, after --", args)
	}
	if f.base == "" && !f.check {
		return errors.New("--base is missing: the revision to compare with, such as --base=origin/main")
	}
	if f.head == "" {
		return errors.New("--head is empty: it can be a revision or 'worktree'")
	}
	if f.check && f.head != worktree {
		return errors.New("--check compares the work tree, since Bazel sees nothing else: leave out --head")
	}
	if f.run && f.head != worktree {
		return errors.New("--run runs the tests of the work tree: check the head out and leave out --head, or use --target_pattern_file")
	}
	return nil
}

type tool struct {
	flags
	args           []string
	stdout, stderr io.Writer
	started        time.Time
	last           time.Time

	workspace string
	base      revision
	headInfo  headRevision
}

type revision struct {
	Name   string `json:"name"`
	Commit string `json:"commit"`
	Given  string `json:"given"`
}

type headRevision struct {
	Name   string `json:"name"`
	Commit string `json:"commit"`
	Dirty  bool   `json:"dirty"`
}

// document is the JSON output.
type document struct {
	Version int          `json:"version"`
	Base    revision     `json:"base"`
	Head    headRevision `json:"head"`
	// Total is how many tests the head has.
	Total int `json:"total"`
	*analysis.Answer
	Explanations []analysis.Explanation `json:"explanations"`
}

func (t *tool) lap(step string) {
	if t.verbose {
		now := time.Now()
		if t.last.IsZero() {
			t.last = t.started
		}
		fmt.Fprintf(t.stderr, "affected: %-32s %7.1f ms\n", step, float64(now.Sub(t.last).Microseconds())/1000)
		t.last = now
	}
}

func (t *tool) execute(ctx context.Context) (err error) {
	if err := t.find(); err != nil {
		return err
	}
	repository, err := git.Open(ctx, t.workspace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.Close()) }()
	if t.check && t.flags.base == "" {
		t.flags.base, t.exactBase = "HEAD", true
	}
	base, head, err := t.snapshots(ctx, repository)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.Close(), head.Close()) }()
	t.lap("list files of both sides")
	file, err := t.indexFile()
	if err != nil {
		return err
	}
	x := index.Open(file, program())
	if x.Problem != "" {
		fmt.Fprintln(t.stderr, "affected:", x.Problem)
	}
	t.lap("read the index")
	answer, err := analysis.Compare(ctx, base, head, analysis.Options{
		Configs: t.configs, IncludeManual: t.includeManual, ModuleCache: gomod.CacheDir(), Index: x,
	})
	if err != nil {
		return err
	}
	t.lap(fmt.Sprintf("evaluate and compare (%d/%d new)", x.Misses, x.Hits+x.Misses))
	if err := x.Save(); err != nil {
		fmt.Fprintln(t.stderr, "affected:", err) // The answer is as good without.
	}
	t.lap("write the index")
	if t.check {
		return t.checkQuery(ctx, answer)
	}
	return t.report(ctx, answer)
}

// find sets the workspace: the nearest folder with a file that marks one.
func (t *tool) find() error {
	start := t.repository
	if start == "" {
		start = os.Getenv("BUILD_WORKSPACE_DIRECTORY")
	}
	// Where nothing says it, it is where the program was started.
	start, err := filepath.Abs(outfile.Place(start))
	if err != nil {
		return fmt.Errorf("find the workspace: %w", err)
	}
	if _, err := os.Stat(start); err != nil {
		return fmt.Errorf("find the workspace: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		for _, mark := range []string{"MODULE.bazel", "WORKSPACE.bazel", "WORKSPACE"} {
			if info, err := os.Stat(filepath.Join(dir, mark)); err == nil && info.Mode().IsRegular() {
				t.workspace = dir
				return nil
			}
		}
		// A bare repository has no files.
		if _, err := os.Stat(filepath.Join(dir, "objects")); err == nil {
			if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
				t.workspace = dir
				return nil
			}
		}
		if dir == filepath.Dir(dir) {
			return fmt.Errorf("find the workspace: neither %s nor a folder above it has MODULE.bazel or WORKSPACE: name it by --repository", start)
		}
	}
}

// snapshots lists the files of both sides.
func (t *tool) snapshots(ctx context.Context, repository *git.Repository) (base, head *snapshot.Snapshot, err error) {
	if repository.Bare && t.head == worktree {
		return nil, nil, fmt.Errorf("read the work tree of %s: the repository is bare: name a revision by --head", repository.Dir)
	}
	revisionOfHead := t.head
	if t.head == worktree {
		revisionOfHead = "HEAD"
	}
	type sides struct {
		s   *snapshot.Snapshot
		err error
	}
	headCommit, err := repository.Commit(ctx, revisionOfHead)
	if err != nil {
		return nil, nil, err
	}
	// The other side is read meanwhile, by its own processes of git. It must not begin before
	// they are apart: two readers of one process take each other's objects.
	apart := repository.Apart()
	done := make(chan sides, 1)
	go func() {
		var s *snapshot.Snapshot
		var err error
		if t.head == worktree {
			s, err = snapshot.Worktree(ctx, repository, headCommit)
		} else {
			s, err = snapshot.Commit(ctx, repository, t.head, headCommit)
		}
		done <- sides{s, err}
	}()
	base, err = t.baseSnapshot(ctx, apart, headCommit)
	other := <-done
	if err = errors.Join(err, other.err); err != nil {
		if base != nil {
			err = errors.Join(err, base.Close())
		}
		if other.s != nil {
			err = errors.Join(err, other.s.Close())
		}
		return nil, nil, err
	}
	head = other.s
	t.headInfo = headRevision{Name: t.head, Commit: headCommit, Dirty: head.Dirty}
	return base, head, nil
}

func (t *tool) baseSnapshot(ctx context.Context, repository *git.Repository, headCommit string) (*snapshot.Snapshot, error) {
	given, err := repository.Commit(ctx, t.flags.base)
	if err != nil {
		return nil, err
	}
	commit := given
	if !t.exactBase && given != headCommit {
		if commit, err = repository.MergeBase(ctx, given, headCommit); err != nil {
			return nil, err
		}
	}
	t.base = revision{Name: t.flags.base, Commit: commit, Given: given}
	return snapshot.Commit(ctx, repository, t.flags.base, commit)
}

// program identifies this program to the index: what another one computed may differ.
func program() string {
	file, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}

func (t *tool) indexFile() (string, error) {
	switch t.index {
	case "none":
		return "", nil
	case "":
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", nil // Without a home there is none.
		}
		sum := sha256.Sum256([]byte(t.workspace))
		return filepath.Join(dir, "bazel-affected", hex.EncodeToString(sum[:8])+".index"), nil
	}
	return filepath.Abs(outfile.Place(t.index))
}

func (t *tool) report(ctx context.Context, answer *analysis.Answer) error {
	d := document{Version: 1, Base: t.base, Head: t.headInfo, Total: answer.Total(t.includeManual), Answer: answer, Explanations: []analysis.Explanation{}}
	for _, label := range t.explain {
		e, err := answer.Explain(label)
		if err != nil {
			return err
		}
		d.Explanations = append(d.Explanations, e)
	}
	if t.targetPatternFile != "" {
		if err := t.writePatterns(answer); err != nil {
			return err
		}
	}
	if t.targetPatternFile != "-" {
		var err error
		switch t.output {
		case "json":
			encoder := json.NewEncoder(t.stdout)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(d)
		case "github":
			err = t.github(&d)
		default:
			_, err = io.WriteString(t.stdout, textReport(&d))
		}
		if err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
	}
	t.lap("write the answer")
	if t.run {
		return t.runTests(ctx, answer)
	}
	return nil
}

func (t *tool) writePatterns(answer *analysis.Answer) error {
	var b strings.Builder
	for _, test := range answer.Tests {
		b.WriteString(test.Label + "\n")
	}
	if t.targetPatternFile == "-" {
		_, err := io.WriteString(t.stdout, b.String())
		return err
	}
	if err := os.WriteFile(outfile.Place(t.targetPatternFile), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write --target_pattern_file: %w", err)
	}
	return nil
}
