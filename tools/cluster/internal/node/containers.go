package node

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cm"
)

// containerManager is upstream's stub, which manages no cgroups, with the one
// capacity that the kubelet asks it for.
type containerManager struct {
	cm.ContainerManager
	machine *machine
}

func newContainerManager(machine *machine) cm.ContainerManager {
	return containerManager{ContainerManager: cm.NewStubContainerManager(), machine: machine}
}

// GetPodCgroupRoot implements cm.ContainerManager: with no cgroups made, pods
// are where all else is.
func (c containerManager) GetPodCgroupRoot() string { return "/" }

// NewPodContainerManager implements cm.ContainerManager.
func (c containerManager) NewPodContainerManager() cm.PodContainerManager {
	return podContainerManager{c.ContainerManager.NewPodContainerManager()}
}

// GetCapacity implements cm.ContainerManager. The stub's disk has no room, and
// pods that request some would not be scheduled.
func (c containerManager) GetCapacity(logger klog.Logger, localStorage bool) corev1.ResourceList {
	if !localStorage {
		return corev1.ResourceList{}
	}
	disk, err := c.machine.RootFsInfo()
	if err != nil {
		logger.Error(err, "Size of the node's disk is not known")
		return corev1.ResourceList{}
	}
	return corev1.ResourceList{
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(disk.Capacity), resource.BinarySI),
	}
}

// podContainerManager is upstream's stub, but answers that a pod's cgroup has
// no configuration where the stub fails: the kubelet asks at each sync of each
// pod, and would log that failure as an error.
type podContainerManager struct{ cm.PodContainerManager }

// GetPodCgroupConfig implements cm.PodContainerManager.
func (podContainerManager) GetPodCgroupConfig(*corev1.Pod, corev1.ResourceName) (*cm.ResourceConfig, error) {
	return nil, nil
}
