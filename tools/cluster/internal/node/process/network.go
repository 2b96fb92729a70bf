package process

import "os"

// Network gives pods network namespaces. Its methods may be called
// concurrently.
type Network interface {
	// Setup makes a network namespace, with loopback up, and an address for
	// the pod sandbox of the given id.
	Setup(podID string) (Attachment, error)
	// HostIP is the address of pods that use the node's own network.
	HostIP() string
}

// Attachment is the network of one pod.
type Attachment interface {
	// IP is the pod's address.
	IP() string
	// NetNS is the network namespace. It stays open and stays the same until
	// Close.
	NetNS() *os.File
	// Close releases the address and the namespace. It is called once, when
	// none of the pod's processes is left.
	Close() error
}
