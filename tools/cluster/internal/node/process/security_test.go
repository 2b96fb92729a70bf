package process

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestCapabilities(t *testing.T) {
	set := func(names ...string) uint64 {
		s, err := capabilitySet(names)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tests := []struct {
		name       string
		privileged bool
		add, drop  []string
		available  uint64
		want       uint64
		fails      bool
	}{
		{"nothing asked", false, nil, nil, allCapabilities, defaultCapabilities, false},
		{"drop all", false, nil, []string{"ALL"}, allCapabilities, 0, false},
		{"drop all but one", false, []string{"NET_BIND_SERVICE"}, []string{"ALL"}, allCapabilities, set("NET_BIND_SERVICE"), false},
		{"drop one", false, nil, []string{"CAP_CHOWN"}, allCapabilities, defaultCapabilities &^ 1, false},
		{"add one", false, []string{"cap_sys_admin"}, nil, allCapabilities, defaultCapabilities | 1<<unix.CAP_SYS_ADMIN, false},
		{"add all", false, []string{"all"}, nil, set("CHOWN", "BPF"), set("CHOWN", "BPF"), false},
		{"add all but one", false, []string{"ALL"}, []string{"CHOWN"}, allCapabilities, allCapabilities &^ 1, false},
		{"add what is not there", false, []string{"BPF"}, nil, defaultCapabilities, 0, true},
		{"defaults that are not there", false, nil, nil, set("CHOWN"), set("CHOWN"), false},
		{"privileged", true, nil, []string{"ALL"}, set("CHOWN", "BPF"), set("CHOWN", "BPF"), false},
		{"unknown", false, nil, []string{"FLY"}, allCapabilities, 0, true},
	}
	for _, test := range tests {
		got, err := capabilities(&rt.LinuxContainerSecurityContext{
			Privileged: test.privileged, Capabilities: &rt.Capability{AddCapabilities: test.add, DropCapabilities: test.drop},
		}, test.available)
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %#x, %v; want %#x", test.name, got, err, test.want)
		}
	}
}

// The tables by which names become numbers must agree with the kernel's.
func TestCapabilityNumbers(t *testing.T) {
	if len(capabilityNames) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names for %d capabilities", len(capabilityNames), unix.CAP_LAST_CAP+1)
	}
	for name, number := range map[string]int{
		"CHOWN": unix.CAP_CHOWN, "KILL": unix.CAP_KILL, "NET_ADMIN": unix.CAP_NET_ADMIN, "SYS_ADMIN": unix.CAP_SYS_ADMIN,
		"MKNOD": unix.CAP_MKNOD, "SETFCAP": unix.CAP_SETFCAP, "SYSLOG": unix.CAP_SYSLOG, "BPF": unix.CAP_BPF,
		"CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	} {
		if capabilityNames[number] != name {
			t.Errorf("capability %d is called %s, not %s", number, capabilityNames[number], name)
		}
	}
}

func TestSecurityContext(t *testing.T) {
	f := newFixture(t)
	withUser := progImage(t)
	withUser.Reference, withUser.User = "user", "65532:65533"
	if err := f.images.Put(withUser); err != nil {
		t.Fatal(err)
	}
	id := func(n int64) *rt.Int64Value { return &rt.Int64Value{Value: n} }
	none, defaults := strings.Repeat("0", 16), hexSet(defaultCapabilities)
	tests := []struct {
		name                string
		image               string
		change              func(*rt.LinuxContainerSecurityContext)
		uid, gid            int
		groups              []int
		bounding, effective string
		noNewPrivs          string
	}{
		{"root by default", "prog", func(*rt.LinuxContainerSecurityContext) {}, 0, 0, []int{0}, defaults, defaults, "0"},
		{"user of the image", "user", func(*rt.LinuxContainerSecurityContext) {}, 65532, 65533, []int{65533}, defaults, none, "0"},
		{"the image's user said again", "user", func(s *rt.LinuxContainerSecurityContext) { s.RunAsUser = id(65532) }, 65532, 65533, []int{65533}, defaults, none, "0"},
		{"another user than the image's", "user", func(s *rt.LinuxContainerSecurityContext) { s.RunAsUser = id(1000) }, 1000, 0, []int{0}, defaults, none, "0"},
		{"user and groups", "prog", func(s *rt.LinuxContainerSecurityContext) {
			s.RunAsUser, s.RunAsGroup, s.SupplementalGroups = id(1000), id(2000), []int64{3000, 2000}
		}, 1000, 2000, []int{2000, 3000}, defaults, none, "0"},
		{"restricted", "prog", func(s *rt.LinuxContainerSecurityContext) {
			s.RunAsUser, s.NoNewPrivs, s.Capabilities = id(1000), true, &rt.Capability{DropCapabilities: []string{"ALL"}}
		}, 1000, 0, []int{0}, none, none, "1"},
		{"root without capabilities", "prog", func(s *rt.LinuxContainerSecurityContext) {
			s.Capabilities = &rt.Capability{DropCapabilities: []string{"ALL"}}
		}, 0, 0, []int{0}, none, none, "0"},
		{"root with one", "prog", func(s *rt.LinuxContainerSecurityContext) {
			s.Capabilities = &rt.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}
		}, 0, 0, []int{0}, hexSet(1 << unix.CAP_NET_BIND_SERVICE), hexSet(1 << unix.CAP_NET_BIND_SERVICE), "0"},
	}
	for _, test := range tests {
		if ids := f.runtime.ids; !contains(ids.users, int64(test.uid)) || !contains(ids.groups, int64(test.gid)) || ids.fixedGroups {
			continue // an unprivileged user's tests: TestWithOneUserID says what happens then
		}
		t.Run(test.name, func(t *testing.T) {
			f := *f
			f.T = t
			pod := f.pod("web")
			change := func(c *rt.ContainerConfig) { c.Image.Image = test.image; test.change(c.Linux.SecurityContext) }
			app := f.start(pod, "app", []string{"wait"}, change)
			for how, r := range map[string]report{"program": f.report(pod, "report", change), "exec": f.execReport(app)} {
				slices.Sort(r.Groups)
				if r.UID != test.uid || r.GID != test.gid || !slices.Equal(r.Groups, test.groups) {
					t.Errorf("%s: user %d, group %d, groups %v", how, r.UID, r.GID, r.Groups)
				}
				if r.Status["CapBnd"] != test.bounding || r.Status["CapEff"] != test.effective || r.Status["CapPrm"] != test.effective ||
					r.Status["CapInh"] != none || r.Status["CapAmb"] != none || r.Status["NoNewPrivs"] != test.noNewPrivs {
					t.Errorf("%s: %v", how, r.Status)
				}
			}
			user := f.status(app).GetUser().GetLinux()
			if user.GetUid() != int64(test.uid) || user.GetGid() != int64(test.gid) {
				t.Errorf("status says %v", user)
			}
			// A program that is not root must be able to open its log.
			if out, _ := f.run(pod, "write", []string{"write", "/dev/stdout"}, change); !strings.Contains(out, "/dev/stdout: <nil>") {
				t.Errorf("/dev/stdout: %q", out)
			}
		})
	}
}

// An unprivileged user's cluster has one user id: pods that ask for another
// one still run, without a single capability, and the log says so once.
func TestWithOneUserID(t *testing.T) {
	if os.Getenv(singleVariable) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestWithOneUserID$", "-test.v")
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
			return strings.HasPrefix(v, stageVariable+"=")
		}), singleVariable+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestWithOneUserID") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	f := newFixture(t)
	pod := f.pod("web")
	other := security0(func(s *rt.LinuxContainerSecurityContext) {
		s.RunAsUser, s.RunAsGroup, s.SupplementalGroups = &rt.Int64Value{Value: 65532}, &rt.Int64Value{Value: 65532}, []int64{2000}
		s.NoNewPrivs = true
	})
	none := strings.Repeat("0", 16)
	for _, name := range []string{"a", "b"} {
		r := f.report(pod, name, other)
		if r.UID != 0 || r.GID != 0 || r.Status["CapBnd"] != none || r.Status["CapEff"] != none || r.Status["NoNewPrivs"] != "1" {
			t.Errorf("user %d, group %d, status %v", r.UID, r.GID, r.Status)
		}
	}
	if log := string(f.log.Contents()); strings.Count(log, "wantedUser=65532") != 1 || !strings.Contains(log, "pod=test/web") {
		t.Errorf("log: %q", log)
	}
	if r := f.report(f.pod("root"), "app"); r.Status["CapEff"] != hexSet(defaultCapabilities) {
		t.Errorf("root has capabilities %s", r.Status["CapEff"])
	}
	id := f.start(pod, "app", []string{"wait"}, other)
	if user := f.status(id).GetUser().GetLinux(); user.GetUid() != 0 {
		t.Errorf("status says %v", user)
	}
	if r := f.execReport(id); r.Status["CapEff"] != none {
		t.Errorf("exec'd: %v", r.Status)
	}
}

func hexSet(set uint64) string {
	text := strconv.FormatUint(set, 16)
	return strings.Repeat("0", 16-len(text)) + text
}

func TestParseIDMap(t *testing.T) {
	ranges, err := parseIDMap("         0       1000          1\n      1000     100000      65536\n")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int64]bool{0: true, 1: false, 999: false, 1000: true, 66535: true, 66536: false, -1: false} {
		if got := contains(ranges, id); got != want {
			t.Errorf("contains %d: %v", id, got)
		}
	}
	if _, err := parseIDMap("0 0\n"); err == nil {
		t.Error("a line of two numbers was taken")
	}
}
