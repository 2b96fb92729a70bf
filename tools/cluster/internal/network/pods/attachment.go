package pods

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Attachment is the network of one pod: a namespace with a loopback interface
// and an eth0 that reaches all pods, services and the node.
type Attachment struct {
	network   *Network
	podID     string
	address   netip.Addr
	namespace *os.File
	close     sync.Once
	closeErr  error
}

// Setup makes the network of the pod. The ID is any string that no other open
// sandbox has. It fails when all pod addresses are held.
func (n *Network) Setup(podID string) (*Attachment, error) {
	pod := &Attachment{network: n, podID: podID}
	if err := n.add(pod); err != nil {
		return nil, fmt.Errorf("set up network of pod %s: %w", podID, err)
	}
	if err := pod.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up network of pod %s: %w", podID, err), pod.Close())
	}
	return pod, nil
}

// add enters the pod in the books; a sandbox that has no address yet is there
// to keep its ID.
func (n *Network) add(pod *Attachment) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, exists := n.pods[pod.podID]; exists {
		return errors.New("the pod has a network already; close that first")
	}
	n.pods[pod.podID] = pod
	return nil
}

func (p *Attachment) open() error {
	var err error
	if p.address, err = p.network.pool.acquire(); err != nil {
		return err
	}
	if p.namespace, err = newNamespace(); err != nil {
		return err
	}
	if err := p.network.attach(p.linkName(), p.namespace, p.address); err != nil {
		return err
	}
	return inNamespace(p.namespace, allowLowPorts)
}

// allowLowPorts lets processes of any user listen below 1024, as container
// runtimes do, since a pod's ports are its own. Where /proc/sys
// may not be written the kernel's rule stays.
func allowLowPorts() error {
	err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EROFS) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// linkName is unique as long as the address is held and at most 11 long.
func (p *Attachment) linkName() string {
	return fmt.Sprintf("%s%x", podLinkPrefix, offset(p.network.options.PodCIDR, p.address))
}

// IP is the pod's address. No other pod gets it before Close.
func (p *Attachment) IP() string { return p.address.String() }

// NetNS is the pod's network namespace, to be entered with setns. It is
// closed by Close.
func (p *Attachment) NetNS() *os.File { return p.namespace }

// Close cuts the pod off, then frees its address. Processes of the pod should
// have ended: their connections would hang rather than be reset. Further
// calls return what the first did.
func (p *Attachment) Close() error {
	p.close.Do(func() {
		var failures []error
		if p.namespace != nil {
			failures = append(failures, deleteLink(p.linkName()), p.namespace.Close())
		}
		if p.address.IsValid() {
			p.network.pool.release(p.address)
		}
		p.network.mu.Lock()
		delete(p.network.pods, p.podID)
		p.network.mu.Unlock()
		if err := errors.Join(failures...); err != nil {
			p.closeErr = fmt.Errorf("close network of pod %s: %w", p.podID, err)
		}
	})
	return p.closeErr
}
