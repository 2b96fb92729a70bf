package process

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// seenAnnotation says when the kubelet saw a pod first. It is ConfigFirstSeenAnnotationKey
// of k8s.io/kubernetes/pkg/kubelet/types, which the kubelet sets on all pods.
const seenAnnotation = "kubernetes.io/config.seen"

// End kills all that runs in the pods of some namespaces and returns when the last
// process is gone, or with the error of ctx's end and what else went wrong.
//
// It is for pods that are deleted, or about to be. Those that the kubelet has seen by
// then get no sandbox any more, in whatever state it was with them: no program of
// theirs starts after End has returned. Pods that it sees later are not concerned.
func (r *Runtime) End(ctx context.Context, namespaces []string) error {
	r.mu.Lock()
	now := time.Now()
	doomed := map[string]bool{}
	for _, namespace := range namespaces {
		doomed[namespace] = true
		r.ended[namespace] = now
	}
	var sandboxes []*sandbox
	for _, s := range r.sandboxes {
		if doomed[s.config.GetMetadata().GetNamespace()] {
			sandboxes = append(sandboxes, s)
		}
	}
	r.mu.Unlock()

	failures := make(chan error, len(sandboxes))
	for _, s := range sandboxes {
		go func() {
			wasReady, err := r.halt(ctx, s)
			failures <- err
			if err == nil {
				r.releaseLater(s, wasReady)
			}
		}()
	}
	var errs []error
	for range sandboxes {
		errs = append(errs, <-failures)
	}
	return errors.Join(errs...)
}

// releaseLater does what takes longer than the end of processes: the kernel's end of
// a pod's network. The kubelet, which stops each sandbox, waits for it and gets its error.
func (r *Runtime) releaseLater(s *sandbox, wasReady bool) {
	if err := r.release(s, wasReady); err != nil {
		r.log.Warn("release what an ended pod had", "error", err)
	}
}

// isEnded reports whether the pod was seen by the kubelet before its namespace was
// ended. The caller holds Runtime.mu.
func (r *Runtime) isEnded(config *rt.PodSandboxConfig) bool {
	end, ended := r.ended[config.GetMetadata().GetNamespace()]
	if !ended {
		return false
	}
	// The kubelet's clock is this process's.
	seen, err := time.Parse(time.RFC3339Nano, config.GetAnnotations()[seenAnnotation])
	return err == nil && seen.Before(end)
}

// refuseEnded is isEnded as an error, for a caller without the lock.
func (r *Runtime) refuseEnded(config *rt.PodSandboxConfig) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isEnded(config) {
		return errEnded(config)
	}
	return nil
}

func errEnded(config *rt.PodSandboxConfig) error {
	return status.Errorf(codes.FailedPrecondition, "pod %s was ended with all of its namespace and does not start again: delete it", podName(config))
}
