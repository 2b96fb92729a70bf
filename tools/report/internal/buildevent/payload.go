package buildevent

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// payloads are the kinds of event that are read, by the name of the member that has their
// content.
var payloads = map[string]func(s *Stream, id, payload json.RawMessage) error{
	"started":         (*Stream).started,
	"optionsParsed":   (*Stream).optionsParsed,
	"expanded":        (*Stream).expanded,
	"configured":      (*Stream).configured,
	"completed":       (*Stream).completed,
	"namedSetOfFiles": (*Stream).namedSet,
	"testResult":      (*Stream).testResult,
	"testSummary":     (*Stream).testSummary,
	"action":          (*Stream).action,
	"aborted":         (*Stream).aborted,
	"finished":        (*Stream).finished,
	"buildMetrics":    (*Stream).buildMetrics,
	"buildToolLogs":   (*Stream).buildToolLogs,
}

// whole is an integer, which protobuf's JSON writes as a string if it has 64 bits.
type whole int64

func (w *whole) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 64)
	*w = whole(n)
	return err
}

func (w whole) moment() time.Time {
	if w <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(w)).UTC()
}

// span is protobuf's JSON of a duration: "1.5s".
type span time.Duration

func (d *span) UnmarshalJSON(data []byte) error {
	parsed, err := time.ParseDuration(strings.Trim(string(data), `"`))
	*d = span(parsed)
	return err
}

type jsonFile struct {
	Name, URI, Digest string
	PathPrefix        []string
	Contents          string
}

func (f jsonFile) file() File { return File{Name: f.Name, URI: f.URI, Digest: f.Digest} }

func (s *Stream) started(_, payload json.RawMessage) error {
	var v struct {
		UUID               string
		StartTimeMillis    whole
		StartTime          time.Time
		BuildToolVersion   string
		Command            string
		WorkspaceDirectory string
	}
	err := json.Unmarshal(payload, &v)
	s.Invocation, s.Version, s.Command, s.Workspace = v.UUID, v.BuildToolVersion, v.Command, v.WorkspaceDirectory
	s.Started = later(v.StartTime, v.StartTimeMillis)
	return err
}

// later prefers the form that newer versions of Bazel have.
func later(t time.Time, millis whole) time.Time {
	if t.IsZero() {
		return millis.moment()
	}
	return t.UTC()
}

func (s *Stream) optionsParsed(_, payload json.RawMessage) error {
	var v struct{ ExplicitCmdLine []string }
	err := json.Unmarshal(payload, &v)
	s.Options = v.ExplicitCmdLine
	return err
}

func (s *Stream) expanded(id, _ json.RawMessage) error {
	var v struct {
		Pattern struct{ Pattern []string }
	}
	err := json.Unmarshal(id, &v)
	s.Patterns = append(s.Patterns, v.Pattern.Pattern...)
	return err
}

func (s *Stream) configured(id, payload json.RawMessage) error {
	var of struct {
		TargetConfigured struct{ Label, Aspect string }
	}
	var v struct {
		TargetKind string
		TestSize   string
		Tag        []string
	}
	if err := json.Unmarshal(id, &of); err != nil {
		return err
	}
	if of.TargetConfigured.Aspect != "" {
		return nil
	}
	err := json.Unmarshal(payload, &v)
	t := s.target(of.TargetConfigured.Label)
	t.Kind, t.Size, t.Tags = v.TargetKind, v.TestSize, v.Tag
	return err
}

type failureDetail struct{ Message string }

func (s *Stream) completed(id, payload json.RawMessage) error {
	var of struct {
		TargetCompleted struct{ Label, Aspect string }
	}
	var v struct {
		Success         bool
		ImportantOutput []jsonFile
		OutputGroup     []struct {
			Name     string
			FileSets []struct{ ID string }
		}
		FailureDetail failureDetail
	}
	if err := json.Unmarshal(id, &of); err != nil {
		return err
	}
	if of.TargetCompleted.Aspect != "" {
		return nil
	}
	err := json.Unmarshal(payload, &v)
	label := of.TargetCompleted.Label
	t := s.target(label)
	built := v.Success
	t.Built, t.Failure = &built, v.FailureDetail.Message
	for _, f := range v.ImportantOutput {
		t.Files = append(t.Files, f.file())
	}
	for _, group := range v.OutputGroup {
		if group.Name != "default" {
			continue
		}
		for _, set := range group.FileSets {
			s.outputs[label] = append(s.outputs[label], set.ID)
		}
	}
	return err
}

func (s *Stream) namedSet(id, payload json.RawMessage) error {
	var of struct {
		NamedSet struct{ ID string }
	}
	var v struct {
		Files    []jsonFile
		FileSets []struct{ ID string }
	}
	if err := json.Unmarshal(id, &of); err != nil {
		return err
	}
	err := json.Unmarshal(payload, &v)
	for _, f := range v.Files {
		s.files[of.NamedSet.ID] = append(s.files[of.NamedSet.ID], f.file())
	}
	for _, set := range v.FileSets {
		s.sets[of.NamedSet.ID] = append(s.sets[of.NamedSet.ID], set.ID)
	}
	return err
}

func (s *Stream) testResult(id, payload json.RawMessage) error {
	var of struct {
		TestResult struct {
			Label               string
			Run, Shard, Attempt int
		}
	}
	var v struct {
		Status, StatusDetails       string
		CachedLocally               bool
		TestAttemptStartMillisEpoch whole
		TestAttemptStart            time.Time
		TestAttemptDurationMillis   whole
		TestAttemptDuration         span
		TestActionOutput            []jsonFile
		Warning                     []string
		ExecutionInfo               struct {
			Strategy, Hostname string
			CachedRemotely     bool
		}
	}
	if err := json.Unmarshal(id, &of); err != nil {
		return err
	}
	err := json.Unmarshal(payload, &v)
	t := Test{
		Label: of.TestResult.Label,
		Run:   max(of.TestResult.Run, 1), Shard: max(of.TestResult.Shard, 1), Attempt: max(of.TestResult.Attempt, 1),
		Status: v.Status, Details: v.StatusDetails,
		CachedLocally: v.CachedLocally, CachedRemotely: v.ExecutionInfo.CachedRemotely,
		Start:    later(v.TestAttemptStart, v.TestAttemptStartMillisEpoch),
		Duration: time.Duration(v.TestAttemptDuration),
		Strategy: v.ExecutionInfo.Strategy, Host: v.ExecutionInfo.Hostname, Warnings: v.Warning,
	}
	if t.Duration == 0 {
		t.Duration = time.Duration(v.TestAttemptDurationMillis) * time.Millisecond
	}
	t.Duration = max(t.Duration, 0)
	for _, f := range v.TestActionOutput {
		t.Outputs = append(t.Outputs, f.file())
	}
	s.Tests = append(s.Tests, t)
	return err
}

func (s *Stream) testSummary(id, payload json.RawMessage) error {
	var of struct {
		TestSummary struct{ Label string }
	}
	var v struct {
		OverallStatus          string
		RunCount, ShardCount   int
		TotalNumCached         int
		AttemptCount           int
		FirstStartTimeMillis   whole
		LastStopTimeMillis     whole
		FirstStartTime         time.Time
		LastStopTime           time.Time
		TotalRunDurationMillis whole
		TotalRunDuration       span
	}
	if err := json.Unmarshal(id, &of); err != nil {
		return err
	}
	err := json.Unmarshal(payload, &v)
	summary := Summary{
		Status: v.OverallStatus, Runs: v.RunCount, Shards: v.ShardCount, Cached: v.TotalNumCached,
		FirstStart: later(v.FirstStartTime, v.FirstStartTimeMillis), LastStop: later(v.LastStopTime, v.LastStopTimeMillis),
		TotalRunDuration: time.Duration(v.TotalRunDuration), AttemptsOfFailedShard: v.AttemptCount,
	}
	if summary.TotalRunDuration == 0 {
		summary.TotalRunDuration = time.Duration(v.TotalRunDurationMillis) * time.Millisecond
	}
	s.Summaries[of.TestSummary.Label] = summary
	return err
}

func (s *Stream) action(id, payload json.RawMessage) error {
	var of struct {
		ActionCompleted struct{ PrimaryOutput, Label string }
	}
	var v struct {
		Success            bool
		Label, Type        string
		PrimaryOutput      jsonFile
		ExitCode           int
		Stderr             *jsonFile
		FailureDetail      failureDetail
		StartTime, EndTime time.Time
	}
	if err := json.Unmarshal(id, &of); err != nil {
		return err
	}
	err := json.Unmarshal(payload, &v)
	if v.Success || v.Type == "TestRunner" {
		return err
	}
	a := Action{
		Label: of.ActionCompleted.Label, Mnemonic: v.Type, Output: of.ActionCompleted.PrimaryOutput,
		ExitCode: v.ExitCode, Message: v.FailureDetail.Message, Start: v.StartTime, End: v.EndTime,
	}
	if a.Label == "" {
		a.Label = v.Label
	}
	if v.Stderr != nil {
		f := v.Stderr.file()
		a.Stderr = &f
	}
	s.Failures = append(s.Failures, a)
	return err
}

func (s *Stream) aborted(id, payload json.RawMessage) error {
	var v struct{ Reason, Description string }
	err := json.Unmarshal(payload, &v)
	s.Aborts = append(s.Aborts, Abort{Of: string(id), Reason: v.Reason, Description: v.Description})
	return err
}

func (s *Stream) finished(_, payload json.RawMessage) error {
	var v struct {
		FinishTimeMillis whole
		FinishTime       time.Time
		ExitCode         struct {
			Name string
			Code int
		}
		FailureDetail failureDetail
	}
	err := json.Unmarshal(payload, &v)
	s.Ended = later(v.FinishTime, v.FinishTimeMillis)
	s.Exit = &Exit{Name: v.ExitCode.Name, Code: v.ExitCode.Code, Message: v.FailureDetail.Message}
	return err
}

func (s *Stream) buildMetrics(_, payload json.RawMessage) error {
	var v struct {
		ActionSummary struct {
			ActionData []struct {
				Mnemonic             string
				ActionsExecuted      whole
				FirstStartedMs       whole
				LastEndedMs          whole
				SystemTime, UserTime span
			}
			ActionCacheStatistics struct {
				MissDetails []struct {
					Reason string
					Count  int
				}
			}
		}
		TimingMetrics struct {
			CPUTimeInMs, WallTimeInMs, AnalysisPhaseTimeInMs, ExecutionPhaseTimeInMs whole
			CriticalPathTime                                                         span
		}
	}
	err := json.Unmarshal(payload, &v)
	for _, d := range v.ActionSummary.ActionData {
		s.Work = append(s.Work, Work{
			Mnemonic: d.Mnemonic, Actions: int(d.ActionsExecuted), First: d.FirstStartedMs.moment(), Last: d.LastEndedMs.moment(),
			CPU: time.Duration(d.SystemTime) + time.Duration(d.UserTime),
		})
	}
	for _, d := range v.ActionSummary.ActionCacheStatistics.MissDetails {
		if d.Count > 0 {
			s.Misses[d.Reason] += d.Count
		}
	}
	t := v.TimingMetrics
	s.Timing = Timing{
		Wall: float64(t.WallTimeInMs) / 1000, CPU: float64(t.CPUTimeInMs) / 1000,
		Analysis: float64(t.AnalysisPhaseTimeInMs) / 1000, Execution: float64(t.ExecutionPhaseTimeInMs) / 1000,
		CriticalPath: time.Duration(t.CriticalPathTime).Seconds(),
	}
	return err
}

func (s *Stream) buildToolLogs(_, payload json.RawMessage) error {
	var v struct{ Log []jsonFile }
	err := json.Unmarshal(payload, &v)
	for _, f := range v.Log {
		contents, decodeErr := base64.StdEncoding.DecodeString(f.Contents)
		if decodeErr != nil {
			err = decodeErr
		}
		s.Logs = append(s.Logs, ToolLog{Name: f.Name, URI: f.URI, Contents: contents})
	}
	return err
}
