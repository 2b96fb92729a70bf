package storm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// admission is the reply of admit.lua.
type admission struct {
	decision admitDecision
	batch
	// buffered is how many members the namespace has in buffers.
	buffered int
	// overflow and contents are set if the decision is admitOpened. The contents are
	// without filler, which is the alert of the call itself.
	overflow overflow
	contents contents
	// needed are the batches whose keys the script needs, if the decision is admitKeys.
	needed []string
}

// admitDecision says what became of an alert.
type admitDecision string

const (
	admitNone     admitDecision = "none"     // there is no storm, and no batch
	admitBuffered admitDecision = "buffered" // it is stored in a buffer
	admitOpened   admitDecision = "opened"   // it filled the buffer, which is a window now
	admitAdded    admitDecision = "added"    // it is stored in a window
	admitAgain    admitDecision = "again"    // an earlier request stored it in a window
	admitFlush    admitDecision = "flush"    // it is stored in a buffer that has ended
	admitKeys     admitDecision = "keys"     // nothing was done: keys are not declared
	// admitOvertaken means that nothing was done, since the claim is lost.
	admitOvertaken admitDecision = "overtaken"
)

// overflow is the limit that opened a window before the buffer was filled.
type overflow string

const (
	overflowNone      overflow = ""
	overflowNamespace overflow = "namespace"
	overflowGlobal    overflow = "global"
	overflowSampled   overflow = "sampled"
)

func readAdmission(f *fields) admission {
	a := admission{decision: oneOf(f, "decision", admitNone, admitBuffered, admitOpened, admitAdded, admitAgain, admitFlush, admitKeys, admitOvertaken)}
	switch a.decision {
	case admitNone, admitOvertaken:
		return a
	case admitKeys:
		a.needed = f.texts("ids")
		return a
	}
	a.batch = readBatch(f)
	a.buffered = int(f.count("buffered"))
	if a.decision == admitOpened {
		a.overflow = oneOf(f, "overflow", overflowNone, overflowNamespace, overflowGlobal, overflowSampled)
		a.contents = contents{pending: readPending(f), first: f.text("first"), severest: f.text("severest")}
	}
	return a
}

// next is the reply of next.lua.
type next struct {
	decision nextDecision
	// ref is set if the decision is nextDue.
	ref batchRef
	// wait is the time until a batch is due, if the decision is nextIdle.
	wait time.Duration
	// waiting is how many members the partition has in buffers.
	waiting int
}

// nextDecision says whether a batch is due.
type nextDecision string

const (
	nextNone nextDecision = "none" // there is no batch
	nextIdle nextDecision = "idle" // none is due
	nextDue  nextDecision = "due"
)

func readNext(f *fields) next {
	n := next{decision: oneOf(f, "decision", nextNone, nextIdle, nextDue), waiting: int(f.count("waiting"))}
	switch n.decision {
	case nextIdle:
		n.wait = f.milliseconds("wait")
	case nextDue:
		n.ref = f.ref("batch")
	}
	return n
}

// task is the reply of take.lua, or what stands for it if no batch is due.
type task struct {
	decision takeDecision
	// batch is set unless the decision is takeNone or takeIdle.
	batch
	// fence and contents are set if the decision is takeFlush or takeWindow. For
	// takeFlush, the contents are only the members.
	fence    int64
	contents contents
	// wait is the time until a batch is due, if the decision is takeIdle.
	wait time.Duration
	// lasted is the time from a window's opening to its last alert, if the decision
	// is takeClosed.
	lasted time.Duration
}

// takeDecision says what a flusher is to do.
type takeDecision string

const (
	takeNone   takeDecision = "none"   // nothing: there is no batch, or nothing to do about it
	takeIdle   takeDecision = "idle"   // nothing: no batch is due
	takeFlush  takeDecision = "flush"  // make an object of each member
	takeWindow takeDecision = "window" // make the window's object hold the members
	takeClosed takeDecision = "closed" // nothing: the window has ended and was removed
)

func readTask(f *fields) task {
	t := task{decision: oneOf(f, "decision", takeNone, takeFlush, takeWindow, takeClosed)}
	if t.decision == takeNone {
		return t
	}
	t.batch = readBatch(f)
	switch t.decision {
	case takeClosed:
		t.lasted = f.milliseconds("lasted")
	case takeFlush:
		t.fence = f.count("fence")
		t.contents.pending = readPending(f)
	case takeWindow:
		t.fence = f.count("fence")
		t.contents = readContents(f)
	}
	return t
}

// look is the reply of look.lua.
type look struct {
	decision lookDecision
	// batch and contents are set if the decision is lookFound.
	batch
	contents contents
}

// lookDecision says whether there is a batch.
type lookDecision string

const (
	lookFound lookDecision = "found"
	lookGone  lookDecision = "gone"
)

func readLook(f *fields) look {
	l := look{decision: oneOf(f, "decision", lookFound, lookGone)}
	if l.decision == lookFound {
		l.batch, l.contents = readBatch(f), readContents(f)
	}
	return l
}

// reservation is the reply of reserve.lua.
type reservation struct {
	decision reserveDecision
	// name is set if the decision is reserveFixed.
	name string
}

// reserveDecision says whether the caller may make the object.
type reserveDecision string

const (
	reserveFixed reserveDecision = "fixed"
	reserveGone  reserveDecision = "gone"
)

func readReservation(f *fields) reservation {
	r := reservation{decision: oneOf(f, "decision", reserveFixed, reserveGone)}
	if r.decision == reserveFixed {
		r.name = f.text("name")
	}
	return r
}

// settlement is the reply of settle.lua.
type settlement struct{ decision settleDecision }

// settleDecision says whether there was a batch to remove members from.
type settleDecision string

const (
	settleDone settleDecision = "settled"
	settleGone settleDecision = "gone"
)

func readSettlement(f *fields) settlement {
	return settlement{oneOf(f, "decision", settleDone, settleGone)}
}

// postponement is the reply of postpone.lua.
type postponement struct{ decision postponeDecision }

// postponeDecision says whether the batch was still the caller's.
type postponeDecision string

const (
	postponeDone      postponeDecision = "postponed"
	postponeOvertaken postponeDecision = "overtaken"
)

func readPostponement(f *fields) postponement {
	return postponement{oneOf(f, "decision", postponeDone, postponeOvertaken)}
}

// batch is a batch as several replies describe it.
type batch struct {
	ref batchRef
	// kind of storm: rate or pattern.
	kind string
	// opened is when the window was opened, in ms since 1970; 0 for a buffer.
	opened int64
	// members is how many members the batch has had.
	members int
	// name is reserved for the window's object. object is its namespace/name once it
	// is stored. Both are empty before.
	name, object string
}

func readBatch(f *fields) batch {
	return batch{
		ref: f.ref("batch"), kind: oneOf(f, "kind", "rate", "pattern"), opened: f.count("opened"),
		members: int(f.count("members")), name: f.text("name"), object: f.text("object"),
	}
}

// contents is what a window's object is made of.
type contents struct {
	// pending are the members that no object holds yet, in the order of arrival.
	pending []pendingMember
	// first and filler are the signals, as kept, of the first member and of the one
	// that filled the buffer, and severest is the most severe one. They are empty if they
	// are not kept any more.
	first, filler, severest string
}

func readContents(f *fields) contents {
	return contents{pending: readPending(f), first: f.text("first"), filler: f.text("filler"), severest: f.text("severest")}
}

// pendingMember is a member that no object holds yet.
type pendingMember struct {
	fingerprint string
	// arrived is in ms since 1970.
	arrived int64
	// name is reserved for an object of the member's own, or empty.
	name, resource string
}

func readPending(f *fields) []pendingMember {
	list := f.list("pending")
	members := make([]pendingMember, 0, len(list))
	for _, reply := range list {
		m := newFields(reply)
		members = append(members, pendingMember{
			fingerprint: m.text("fingerprint"), arrived: m.count("arrived"), name: m.text("name"), resource: m.text("resource"),
		})
		if err := m.end(); err != nil {
			f.fail("read member: %w", err)
			return nil
		}
	}
	slices.SortFunc(members, func(x, y pendingMember) int {
		return cmp.Or(cmp.Compare(x.arrived, y.arrived), strings.Compare(x.resource, y.resource))
	})
	return members
}

// fields reads a script's reply, which is a list of names, each followed by its
// value. The first failure is kept for end; what is read after it is empty.
type fields struct {
	elements []any
	read     []string // names
	err      error
}

func newFields(reply any) *fields {
	list, ok := reply.([]any)
	f := &fields{elements: list}
	switch {
	case !ok:
		f.fail("reply is a %T, not a list", reply)
	case len(list)%2 != 0:
		f.fail("reply has a name without a value: %d elements", len(list))
	}
	return f
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// end returns the first failure. A field that nobody has read is one, too: the script
// and its reader do not agree.
func (f *fields) end() error {
	if f.err == nil && 2*len(f.read) != len(f.elements) {
		f.fail("reply has %d fields, of which only %v are known", len(f.elements)/2, f.read)
	}
	return f.err
}

// value returns a field's value, or nil after a failure.
func (f *fields) value(name string) any {
	if f.err != nil {
		return nil
	}
	for i := 0; i < len(f.elements); i += 2 {
		if f.elements[i] == name {
			f.read = append(f.read, name)
			return f.elements[i+1]
		}
	}
	f.fail("reply has no %s", name)
	return nil
}

func valueOf[T any](f *fields, name string) T {
	value := f.value(name)
	typed, ok := value.(T)
	if !ok {
		f.fail("%s is a %T, not a %T", name, value, typed)
	}
	return typed
}

func (f *fields) text(name string) string { return valueOf[string](f, name) }

func (f *fields) list(name string) []any { return valueOf[[]any](f, name) }

// texts returns a list of texts.
func (f *fields) texts(name string) []string {
	list := f.list(name)
	texts := make([]string, 0, len(list))
	for _, element := range list {
		text, ok := element.(string)
		if !ok {
			f.fail("%s has a %T, not only texts", name, element)
			return nil
		}
		texts = append(texts, text)
	}
	return texts
}

// count returns a whole number from 0.
func (f *fields) count(name string) int64 {
	n := valueOf[int64](f, name)
	if n < 0 {
		f.fail("%s is negative: %d", name, n)
		return 0
	}
	return n
}

func (f *fields) milliseconds(name string) time.Duration {
	return time.Duration(f.count(name)) * time.Millisecond
}

func (f *fields) ref(name string) batchRef {
	text := f.text(name)
	ref := parseRef(text)
	if ref.scope == "" || ref.id == "" {
		f.fail("%s is no scope and id: %q", name, text)
	}
	return ref
}

// oneOf returns a text that must be one of those that are known.
func oneOf[T ~string](f *fields, name string, known ...T) T {
	text := T(f.text(name))
	if f.err == nil && !slices.Contains(known, text) {
		f.fail("%s is %q, not one of %q", name, text, known)
	}
	if f.err != nil {
		return ""
	}
	return text
}
