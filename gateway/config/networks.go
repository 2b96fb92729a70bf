package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// Networks is a list of networks that a file writes in CIDR notation, or as an address.
// A key without a value leaves the default, and an empty list is none.
type Networks []netip.Prefix

// UnmarshalJSON reads a list of texts; null changes nothing.
func (n *Networks) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return err
	}
	networks := make(Networks, len(texts))
	for i, text := range texts {
		network, err := parseNetwork(text)
		if err != nil {
			return fmt.Errorf("%q is neither a network such as 10.0.0.0/8 nor an address", text)
		}
		networks[i] = network
	}
	*n = networks
	return nil
}

// parseNetwork returns the network with no more than its own bits, and with IPv4 as
// IPv4, so that it compares with addresses.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap().WithZone("")
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if address := network.Addr(); address.Is4In6() {
		if network.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s is more than IPv4", text)
		}
		network = netip.PrefixFrom(address.Unmap(), network.Bits()-96)
	}
	return network.Masked(), nil
}
