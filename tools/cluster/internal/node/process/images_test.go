package process

import (
	"strings"
	"testing"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
)

// Promise: two environments' images of one reference stay apart, whatever the kubelet, which asks for no
// namespace, was answered before: program, user and image id are those of the pod's namespace.
func TestImageOfTheNamespace(t *testing.T) {
	f := newFixture(t)
	for name, user := range map[string]string{"a": "", "b": "7"} {
		i := progImage(t)
		i.Reference, i.User, i.Env = "app:dev", user, map[string]string{"SCOPE": name}
		if err := f.images.PutScope(name, api.Scope{Namespaces: []string{name}, Images: []api.Image{i}}); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for _, namespace := range []string{"a", "b"} {
		sandbox := f.podConfig("web", inNamespace(namespace))
		pulled, err := f.runtime.PullImage(t.Context(), &rt.ImageSpec{Image: "app:dev"}, nil, sandbox)
		if err != nil {
			t.Fatal(err)
		}
		present, err := f.runtime.ImageStatus(t.Context(), &rt.ImageSpec{Image: "app:dev"}, false)
		if err != nil {
			t.Fatal(err)
		}
		pod, err := f.runtime.RunPodSandbox(t.Context(), sandbox, "")
		if err != nil {
			t.Fatal(err)
		}
		// As the kubelet makes it of either answer.
		for _, answer := range []string{pulled, present.GetImage().GetId()} {
			report := f.report(pod, "app", func(c *rt.ContainerConfig) {
				c.Image = &rt.ImageSpec{Image: answer, UserSpecifiedImage: "app:dev"}
				c.Linux.SecurityContext.RunAsUsername = present.GetImage().GetUsername()
				if uid := present.GetImage().GetUid(); uid != nil {
					c.Linux.SecurityContext.RunAsUser = uid
				}
			})
			if !strings.Contains(strings.Join(report.Env, " "), "SCOPE="+namespace) {
				t.Errorf("namespace %s after the answer %q: environment %v", namespace, answer, report.Env)
			}
			if want := map[string]int{"a": 0, "b": 7}[namespace]; contains(f.runtime.ids.users, int64(want)) && report.UID != want {
				t.Errorf("namespace %s after the answer %q: user %d, want %d", namespace, answer, report.UID, want)
			}
		}
		for _, c := range f.containers() {
			ids[c.GetImageId()] = true
			if c.GetImage().GetImage() != "app:dev" {
				t.Errorf("the status has the image %q", c.GetImage().GetImage())
			}
		}
		if status, err := f.runtime.ImageStatus(t.Context(), &rt.ImageSpec{Image: pulled}, false); err != nil || status.GetImage().GetId() != pulled {
			t.Errorf("image %s: %v, %v", pulled, status, err)
		}
	}
	if len(ids) != 2 {
		t.Errorf("image ids %v, want one for each namespace", ids)
	}
}

// Promise: a running container keeps its image when the scope is replaced; the next one of the same pod has
// the new one.
func TestReplacedScope(t *testing.T) {
	f := newFixture(t)
	put := func(version string) {
		t.Helper()
		i := progImage(t)
		i.Reference, i.Env = "app:dev", map[string]string{"VERSION": version}
		if err := f.images.PutScope("calm", api.Scope{Namespaces: []string{"test"}, Images: []api.Image{i}}); err != nil {
			t.Fatal(err)
		}
	}
	image := func(c *rt.ContainerConfig) { c.Image = &rt.ImageSpec{Image: "app:dev", UserSpecifiedImage: "app:dev"} }
	put("1")
	pod := f.pod("web")
	running := f.start(pod, "app", []string{"wait"}, image)
	before := f.status(running).GetImageId()
	put("2")
	if got := strings.Join(f.execReport(running).Env, " "); !strings.Contains(got, "VERSION=1") {
		t.Errorf("a running container's environment changed to %s", got)
	}
	if got := f.status(running).GetImageId(); got != before {
		t.Errorf("a running container's image id changed from %s to %s", before, got)
	}
	if got := strings.Join(f.report(pod, "app", image).Env, " "); !strings.Contains(got, "VERSION=2") {
		t.Errorf("the next container has %s", got)
	}
}

// Promise: a pod outside all scopes that names an image of one is told which.
func TestImageOfAnotherScope(t *testing.T) {
	f := newFixture(t)
	i := progImage(t)
	i.Reference = "app:dev"
	if err := f.images.PutScope("calm", api.Scope{Namespaces: []string{"calm"}, Images: []api.Image{i}}); err != nil {
		t.Fatal(err)
	}
	_, err := f.create(f.pod("web"), "app", nil, func(c *rt.ContainerConfig) { c.Image.Image = "app:dev" })
	if err == nil || !strings.Contains(err.Error(), `scope "calm" has it`) {
		t.Errorf("error %v does not name the scope", err)
	}
	_, err = f.runtime.PullImage(t.Context(), &rt.ImageSpec{Image: "app:dev"}, nil, f.podConfig("web"))
	if err == nil || !strings.Contains(err.Error(), `scope "calm" has it`) {
		t.Errorf("error %v does not name the scope", err)
	}
}

// containers are all that the runtime lists.
func (f *fixture) containers() []*rt.Container {
	f.Helper()
	list, err := f.runtime.ListContainers(f.ctx, nil)
	if err != nil {
		f.Fatal(err)
	}
	return list
}
