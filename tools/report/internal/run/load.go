package run

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/report/internal/buildevent"
	"stormgate.internal/tools/report/internal/outputs"
	"stormgate.internal/tools/report/internal/testxml"
	"stormgate.internal/tools/report/internal/workerlog"
)

// Options say where to look.
type Options struct {
	// TestLogs is a copy of bazel-testlogs, as a CI keeps one. Empty means the files that
	// the build events name.
	TestLogs string
	// WorkerLogs are logs of the fixture's worker.
	WorkerLogs []string
	// FindWorkerLogs says to look for them in the output base of the tests as well.
	FindWorkerLogs bool
	// Program is how Bazel is called in commands; default: as the shards' own logs have it,
	// else "bazel".
	Program string

	// written is when the build events were written last.
	written time.Time
}

// Load makes the model of the run whose build events are in the file.
func Load(events string, options Options) (*Run, error) {
	file, err := os.Open(events)
	if err != nil {
		return nil, fmt.Errorf("read build events: %w", err)
	}
	defer file.Close()
	stream, err := buildevent.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", events, err)
	}
	if info, err := file.Stat(); err == nil {
		options.written = info.ModTime()
	}
	return assemble(stream, options)
}

// loader is what Load needs on its way.
type loader struct {
	Options
	run    *Run
	stream *buildevent.Stream
	// left are the outputs of shards, by shard.
	left map[*Shard]*outputs.Outputs
	// prefix is how the shards' logs call Bazel.
	prefix string
	worker *workerlog.Log
}

func assemble(stream *buildevent.Stream, options Options) (*Run, error) {
	r := &Run{
		Invocation: stream.Invocation, Bazel: stream.Version, Command: stream.Command, Workspace: stream.Workspace,
		Patterns: stream.Patterns, Options: stream.Options, Started: stream.Started,
		Misses: stream.Misses, Problems: slices.Clone(stream.Problems),
	}
	l := &loader{Options: options, run: r, stream: stream, left: map[*Shard]*outputs.Outputs{}}
	defer func() {
		for _, o := range l.left {
			_ = o.Close() // nothing was written
		}
	}()
	if stream.Exit != nil {
		r.Exit, r.ExitCode = stream.Exit.Name, stream.Exit.Code
	}
	l.readWorkerLogs()
	of := shardCounts(stream)
	for _, t := range stream.Tests {
		l.shard(t, of[t.Label])
	}
	l.settle()
	l.explain()
	l.buildFailures()
	l.notRun()
	r.group()
	l.rerun()
	l.timeline()
	r.balance()
	l.clusters()
	l.absent()
	r.conclude()
	return r, nil
}

func (l *loader) problem(format string, values ...any) {
	l.run.Problems = append(l.run.Problems, fmt.Sprintf(format, values...))
}

// since is a moment on the run's axis, in seconds with milliseconds.
func (r *Run) since(t time.Time) float64 {
	return math.Round(t.Sub(r.Started).Seconds()*1000) / 1000
}

// shardCounts is how many shards each test has.
func shardCounts(stream *buildevent.Stream) map[string]int {
	of := map[string]int{}
	for _, t := range stream.Tests {
		of[t.Label] = max(of[t.Label], t.Shard)
	}
	for label, summary := range stream.Summaries {
		of[label] = max(of[label], summary.Shards)
	}
	return of
}

// shard reads what an attempt of a shard left.
func (l *loader) shard(t buildevent.Test, of int) {
	s := &Shard{
		Index: len(l.run.Shards), Target: t.Label, Shard: t.Shard, Of: max(of, t.Shard, 1), Run: t.Run, Attempt: t.Attempt,
		Status: t.Status, Strategy: t.Strategy, Began: t.Start, Duration: t.Duration.Seconds(),
	}
	switch {
	case t.CachedLocally:
		s.Cached = "action cache"
	case t.CachedRemotely:
		s.Cached = "disk or remote cache"
	}
	if !t.Start.IsZero() && !l.run.Started.IsZero() {
		s.Start = l.run.since(t.Start)
	}
	if target := l.stream.Targets[t.Label]; target != nil {
		s.Program = digest(target.Files)
	}
	l.run.Shards = append(l.run.Shards, s)
	for _, w := range t.Warnings {
		l.problem("%s: Bazel warns: %s", s.Name(), w)
	}
	s.judge() // also where nothing more can be read
	xmlFile := l.find(s, t, "test.xml")
	if xmlFile != "" {
		l.readXML(s, xmlFile, t)
		l.openOutputs(s, t, xmlFile)
	}
	s.judge()
	if s.Verdict.Bad() {
		if log := l.find(s, t, "test.log"); log != "" {
			l.readLog(s, log)
		}
	}
}

// queued takes the time before the test's process from the shard's, but for what its set-up
// may have taken: all that Bazel measured beside the suite.
func (l *loader) queued(s *Shard, suite testxml.Suite) {
	if suite.Began.IsZero() {
		return
	}
	beside := max(0, s.Duration-suite.Duration.Seconds())
	waited := suite.Began.Sub(s.Began).Seconds() - beside
	if waited < 1 { // a suite's beginning has whole seconds
		return
	}
	s.Queued = waited
	s.Began = s.Began.Add(time.Duration(waited * float64(time.Second)))
	if !l.run.Started.IsZero() {
		s.Start = l.run.since(s.Began)
	}
}

// digest is of files whose digests are known.
func digest(files []buildevent.File) string {
	var all []string
	for _, f := range files {
		if f.Digest == "" {
			return ""
		}
		all = append(all, f.Digest)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// find returns the file of an output of a test. Where it can't, that is a problem, and the
// path empty.
func (l *loader) find(s *Shard, t buildevent.Test, name string) string {
	i := slices.IndexFunc(t.Outputs, func(f buildevent.File) bool { return f.Name == name })
	if i < 0 {
		if s.Status != "NO_STATUS" {
			l.problem("%s: the build events name no %s", s.Name(), name)
		}
		return ""
	}
	uri := t.Outputs[i].URI
	if inside, ok := buildevent.TestLog(uri); ok && l.TestLogs != "" {
		return filepath.Join(l.TestLogs, filepath.FromSlash(inside))
	}
	path, err := buildevent.Path(uri)
	if err != nil {
		l.problem("%s: %s: %v", s.Name(), name, err)
		return ""
	}
	return path
}

// clockSlack is by how much the times of Bazel and of a test may differ.
const clockSlack = 5 * time.Second

func (l *loader) readXML(s *Shard, name string, t buildevent.Test) {
	file, err := os.Open(name)
	if err != nil {
		l.problem("%s: test.xml: %v", s.Name(), err)
		return
	}
	defer file.Close()
	report, err := testxml.Read(file)
	if err != nil {
		l.problem("%s: %v: what it has before that is shown", s.Name(), err)
	}
	// Bazel's start is that of the wait for resources, whose end no event says. What began
	// when this run was over is another's.
	end := l.stream.Ended
	if end.IsZero() {
		end = l.written
	}
	for _, suite := range report.Suites {
		if b := suite.Began; !b.IsZero() && !t.Start.IsZero() && t.Host == "" &&
			(b.Before(t.Start.Add(-clockSlack)) || !end.IsZero() && b.Add(suite.Duration).After(end.Add(clockSlack))) {
			l.problem("%s: test.xml is of another run, which began at %s: a later run has written over it, so it was not read", s.Name(), b.Format(time.RFC3339))
			return
		}
	}
	if len(report.Suites) == 1 && !t.Start.IsZero() && t.Host == "" {
		l.queued(s, report.Suites[0])
	}
	for _, suite := range report.Suites {
		for _, c := range suite.Cases {
			s.Cases = append(s.Cases, caseOf(c))
		}
	}
	s.nameless = err == nil && len(s.Cases) == 0
	s.lease(report.Properties())
}

func caseOf(c testxml.Case) *Case {
	out := &Case{
		Name: c.Name, Spec: c.IsSpec(), Verdict: verdictOf(c), Result: c.Verdict, Kind: c.Kind, Message: c.Message, Details: c.Details,
		Output: c.Output, Began: c.Began, Duration: c.Duration.Seconds(),
	}
	if c.File != "" {
		out.At = c.File
		if c.Line > 0 {
			out.At += fmt.Sprintf(":%d", c.Line)
		}
	}
	if c.Attempts > 1 {
		for i, a := range c.Earlier {
			out.Attempts = append(out.Attempts, Attempt{Number: i + 1, Result: "failed", Kind: a.Kind, Message: a.Message, Details: a.Details})
		}
		out.Attempts = append(out.Attempts, Attempt{
			Number: c.Attempts, Result: string(c.Verdict), Kind: c.Kind, Message: c.Message, Details: c.Details, Output: c.Output, Duration: c.Duration.Seconds(),
		})
	}
	return out
}

// openOutputs reads the undeclared outputs that lie beside a test.xml.
func (l *loader) openOutputs(s *Shard, t buildevent.Test, xmlFile string) {
	if strings.Contains(filepath.Base(xmlFile), "attempt_") {
		return // those beside it are the last attempt's
	}
	folder := filepath.Join(filepath.Dir(xmlFile), "test.outputs")
	for _, name := range []string{folder, filepath.Join(folder, "outputs.zip")} {
		if name == folder {
			if _, err := os.Stat(filepath.Join(folder, "outputs.zip")); err == nil {
				continue
			}
		}
		o, problems, err := outputs.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			l.problem("%s: %v", s.Name(), err)
			return
		}
		for _, p := range problems {
			l.problem("%s: test.outputs: %v", s.Name(), p)
		}
		if a := o.Attestation; a != nil && s.Lease != nil && s.Lease.ID != "" && a.Lease != s.Lease.ID {
			l.problem("%s: test.outputs has the attestation of another lease (%s, not %s): it was not read", s.Name(), a.Lease, s.Lease.ID)
			_ = o.Close() // nothing was written
			return
		}
		l.left[s] = o
		s.attested(o.Attestation)
		for _, c := range s.Cases {
			if c.Began.IsZero() {
				if i := slices.IndexFunc(o.Specs, func(f outputs.Spec) bool { return f.Name == c.Name }); i >= 0 {
					c.Began = o.Specs[i].Began
				}
			}
		}
		return
	}
	if s.Lease != nil && s.Lease.Verdict != "" {
		l.problem("%s: there is no folder test.outputs beside its test.xml", s.Name())
	}
}

// lease takes the properties that tools/ginkgo writes of an attestation.
func (s *Shard) lease(properties map[string]string) {
	if properties["stormgate.provider"] == "" && properties["stormgate.lease"] == "" {
		return
	}
	number := func(name string) (value float64) {
		if _, err := fmt.Sscan(properties["stormgate."+name], &value); err != nil {
			return 0 // as without the property
		}
		return value
	}
	s.Lease = &Lease{
		ID: properties["stormgate.lease"], Environment: properties["stormgate.environment"], Digest: properties["stormgate.digest"],
		Cluster: properties["stormgate.cluster"], Provider: properties["stormgate.provider"], Slot: int(number("slot")),
		Waited: number("waited"), Exclusive: number("exclusive"), Restarts: int(number("restarts")), Verdict: properties["stormgate.verdict"],
	}
	for line := range strings.Lines(properties["stormgate.changes"]) {
		s.Lease.Changes = append(s.Lease.Changes, outputs.Change{What: strings.TrimSpace(line)})
	}
	s.blame()
}

func (s *Shard) attested(a *outputs.Attestation) {
	if a == nil {
		return
	}
	s.Lease = &Lease{
		ID: a.Lease, Environment: a.Environment, Digest: a.Digest, Cluster: a.Cluster, Provider: a.Provider, Slot: a.Slot,
		Waited: a.Waited, Exclusive: a.Exclusive, Restarts: a.Restarts, Verdict: a.Verdict, Changes: a.Changes,
	}
	s.blame()
}

// attestName is the case that tools/ginkgo makes of an attestation.
const attestName = "attest environment"

// blame says whose a failed attestation is. That a container ended by itself says something
// of the product. A change by somebody else is reported as one of the infrastructure.
func (s *Shard) blame() {
	for _, c := range s.Cases {
		if c.Spec || c.Name != attestName || !c.Verdict.Bad() {
			continue
		}
		switch s.Lease.Verdict {
		case "crashed":
			c.Verdict = Product
		case "changed by this lease", "changed by somebody else":
			c.Verdict = Environment
		}
	}
}

// logTail is how much of a log's end is kept, in bytes.
const logTail = 64 << 10

func (l *loader) readLog(s *Shard, name string) {
	content, size, err := tail(name, logTail)
	if err != nil {
		l.problem("%s: test.log: %v", s.Name(), err)
		return
	}
	text := strings.ToValidUTF8(string(content), "\uFFFD")
	s.LogTail = newTail(text, int(size))
	for line := range strings.Lines(text) {
		if command, found := strings.CutPrefix(strings.TrimSpace(line), "run again: "); found {
			s.Rerun = command
			l.prefix = cmp.Or(l.prefix, strings.Fields(command + " bazel")[0])
		}
	}
}

// tail reads the last bytes of a file.
func tail(name string, limit int64) (content []byte, size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = info.Size()
	if size > limit {
		if _, err := file.Seek(size-limit, io.SeekStart); err != nil {
			return nil, 0, err
		}
	}
	content, err = io.ReadAll(io.LimitReader(file, limit))
	if i := bytes.IndexByte(content, '\n'); size > limit && i >= 0 {
		content = content[i+1:]
	}
	return content, size, err
}

// settle finds the last attempt of each shard, and how long the run took.
func (l *loader) settle() {
	r := l.run
	last := map[string]*Shard{}
	end := l.stream.Ended
	for _, s := range r.Shards {
		key := fmt.Sprintf("%s %d %d", s.Target, s.Shard, s.Run)
		if before := last[key]; before == nil || s.Attempt >= before.Attempt {
			last[key] = s
		}
		if s.Cached == "" && l.stream.Ended.IsZero() {
			if e := s.Began.Add(time.Duration(s.Duration * float64(time.Second))); e.After(end) {
				end = e
			}
		}
	}
	for _, s := range last {
		s.Final = true
	}
	if !r.Started.IsZero() && end.After(r.Started) {
		r.Seconds = r.since(end)
	}
}

func (l *loader) buildFailures() {
	for _, a := range l.stream.Failures {
		b := BuildFailure{Label: a.Label, Mnemonic: a.Mnemonic, Message: a.Message}
		if a.Stderr != nil {
			path, err := buildevent.Path(a.Stderr.URI)
			if err == nil {
				var content []byte
				content, _, err = tail(path, logTail)
				b.Output = NewText(strings.ToValidUTF8(string(content), "\uFFFD"))
			}
			if err != nil {
				l.problem("%s: standard error of %s: %v", a.Label, a.Mnemonic, err)
			}
		}
		b.First = cmp.Or(beginning(b.Output.text, 1), beginning(b.Message, 1), a.Mnemonic+" failed")
		b.Same = slices.ContainsFunc(l.run.Builds, func(before BuildFailure) bool { return before.Label == b.Label })
		l.run.Builds = append(l.run.Builds, b)
	}
	for _, w := range l.stream.Work {
		if w.Actions == 0 || w.First.IsZero() || w.Mnemonic == "TestRunner" {
			continue
		}
		l.run.Work = append(l.run.Work, Work{
			Mnemonic: w.Mnemonic, Actions: w.Actions, Start: l.run.since(w.First), End: l.run.since(w.Last), CPU: w.CPU.Seconds(),
		})
	}
	for _, log := range l.stream.Logs {
		if log.Name == "critical path" {
			l.run.CriticalPath = strings.ToValidUTF8(string(log.Contents), "\uFFFD")
		}
	}
}

// notRun lists tests that were configured and have no result.
func (l *loader) notRun() {
	has := map[string]bool{}
	for _, s := range l.run.Shards {
		has[s.Target] = true
	}
	for label, t := range l.stream.Targets {
		if has[label] || !strings.HasSuffix(t.Kind, "_test rule") {
			continue
		}
		reason := "the build events don't say why"
		switch {
		case t.Built != nil && !*t.Built:
			reason = cmp.Or(t.Failure, "it was not built")
		case l.run.Exit == "INTERRUPTED":
			reason = "the build was interrupted"
		case l.run.Exit == "":
			reason = "the build events end before"
		case l.run.Exit == "BUILD_FAILURE":
			reason = "something else failed to build"
		}
		for _, a := range l.stream.Aborts {
			if strings.Contains(a.Of, `"`+label+`"`) {
				reason = strings.TrimSpace(a.Reason + ": " + a.Description)
			}
		}
		l.run.NotRun = append(l.run.NotRun, NotRun{Label: label, Reason: reason})
	}
	slices.SortFunc(l.run.NotRun, func(a, b NotRun) int { return strings.Compare(a.Label, b.Label) })
}

// foundWorkerLogs are logs that Bazel keeps of workers for the fixture's action, where they
// are newer than the run.
func (l *loader) foundWorkerLogs() []string {
	var found []string
	for _, t := range l.stream.Tests {
		for _, f := range t.Outputs {
			path, err := buildevent.Path(f.URI)
			if err != nil {
				continue
			}
			base, _, inside := strings.Cut(path, "/execroot/")
			if !inside {
				continue
			}
			names, err := filepath.Glob(filepath.Join(base, "bazel-workers", "*ClusterUp*.log"))
			if err != nil {
				return nil // of the pattern alone
			}
			for _, name := range names {
				if info, err := os.Stat(name); err == nil && !info.ModTime().Before(l.run.Started) {
					found = append(found, name)
				}
			}
			return found
		}
	}
	return found
}

func (l *loader) readWorkerLogs() {
	l.worker = &workerlog.Log{}
	logs := l.WorkerLogs
	if l.FindWorkerLogs {
		logs = append(slices.Clone(logs), l.foundWorkerLogs()...)
	}
	for _, name := range logs {
		file, err := os.Open(name)
		if err != nil {
			l.problem("worker log: %v", err)
			continue
		}
		log, err := workerlog.Read(file)
		_ = file.Close() // nothing was written
		if err != nil {
			l.problem("%s: %v", name, err)
		}
		l.worker.Boots = append(l.worker.Boots, log.Boots...)
		l.worker.Deploys = append(l.worker.Deploys, log.Deploys...)
		l.worker.Leases = append(l.worker.Leases, log.Leases...)
		l.worker.Redeploys = append(l.worker.Redeploys, log.Redeploys...)
	}
}
