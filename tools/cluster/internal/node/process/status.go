package process

import (
	"context"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
)

// PodSandboxStatus returns the state of a sandbox, stopped ones included.
func (r *Runtime) PodSandboxStatus(_ context.Context, id string, _ bool) (*rt.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.sandbox(id)
	if err != nil {
		return nil, err
	}
	return &rt.PodSandboxStatusResponse{Status: s.status()}, nil
}

// ListPodSandbox returns the sandboxes that match all parts of the filter.
func (r *Runtime) ListPodSandbox(_ context.Context, filter *rt.PodSandboxFilter) ([]*rt.PodSandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*rt.PodSandbox
	for _, s := range r.sandboxes {
		if !matches(filter.GetId(), s.id) || filter.GetState() != nil && filter.GetState().GetState() != s.state() ||
			!labelsMatch(filter.GetLabelSelector(), s.config.GetLabels()) {
			continue
		}
		list = append(list, &rt.PodSandbox{
			Id: s.id, Metadata: s.config.GetMetadata(), State: s.state(), CreatedAt: s.created.UnixNano(),
			Labels: s.config.GetLabels(), Annotations: s.config.GetAnnotations(),
		})
	}
	return list, nil
}

// ContainerStatus returns the state of a container, ended ones included.
func (r *Runtime) ContainerStatus(_ context.Context, id string, _ bool) (*rt.ContainerStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.container(id)
	if err != nil {
		return nil, err
	}
	return &rt.ContainerStatusResponse{Status: c.status()}, nil
}

// ListContainers returns the containers that match all parts of the filter.
func (r *Runtime) ListContainers(_ context.Context, filter *rt.ContainerFilter) ([]*rt.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*rt.Container
	for _, c := range r.containers {
		if !matches(filter.GetId(), c.id) || !matches(filter.GetPodSandboxId(), c.sandbox.id) ||
			filter.GetState() != nil && filter.GetState().GetState() != c.state ||
			!labelsMatch(filter.GetLabelSelector(), c.config.GetLabels()) {
			continue
		}
		list = append(list, &rt.Container{
			Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.GetMetadata(), Image: c.imageSpec(),
			ImageRef: c.imageID, ImageId: c.imageID, State: c.state, CreatedAt: c.created.UnixNano(),
			Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		})
	}
	return list, nil
}

// state is to be called with Runtime.mu held, like the functions below.
func (s *sandbox) state() rt.PodSandboxState {
	if s.ready {
		return rt.PodSandboxState_SANDBOX_READY
	}
	return rt.PodSandboxState_SANDBOX_NOTREADY
}

func (s *sandbox) status() *rt.PodSandboxStatus {
	return &rt.PodSandboxStatus{
		Id: s.id, Metadata: s.config.GetMetadata(), State: s.state(), CreatedAt: s.created.UnixNano(),
		Network: &rt.PodSandboxNetworkStatus{Ip: s.ip},
		Linux:   &rt.LinuxPodSandboxStatus{Namespaces: &rt.Namespace{Options: namespaces(s.config)}},
		Labels:  s.config.GetLabels(), Annotations: s.config.GetAnnotations(),
	}
}

func (c *container) status() *rt.ContainerStatus {
	return &rt.ContainerStatus{
		Id: c.id, Metadata: c.config.GetMetadata(), State: c.state,
		CreatedAt: c.created.UnixNano(), StartedAt: nanoseconds(c.started), FinishedAt: nanoseconds(c.finished),
		ExitCode: c.exitCode, Reason: c.reason, Message: c.message,
		Image: c.imageSpec(), ImageRef: c.imageID, ImageId: c.imageID,
		Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(), Mounts: c.config.GetMounts(),
		LogPath: c.logPath, Resources: &rt.ContainerResources{Linux: c.resources},
		User: c.security.user(), StopSignal: c.config.GetStopSignal(),
	}
}

// imageSpec names the image by its reference: it becomes the image in a pod's status,
// beside the imageID.
func (c *container) imageSpec() *rt.ImageSpec {
	return &rt.ImageSpec{Image: api.NormalizeReference(c.image.Reference), UserSpecifiedImage: c.config.GetImage().GetUserSpecifiedImage()}
}

// nanoseconds is 0 for a time that has not come.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// matches compares an id with a filter's, where an empty one matches all.
func matches(wanted, id string) bool { return wanted == "" || wanted == id }

func labelsMatch(selector, labels map[string]string) bool {
	for key, value := range selector {
		if have, found := labels[key]; !found || have != value {
			return false
		}
	}
	return true
}
