package pods

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAddressPoolReusesOnlyReleasedAddresses(t *testing.T) {
	prefix := netip.MustParsePrefix("10.244.0.0/29")
	pool := newAddressPool(prefix, nth(prefix, 1), nth(prefix, 2))
	var held []netip.Addr
	for range 4 {
		address, err := pool.acquire()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, address)
	}
	for i, want := range []string{"10.244.0.3", "10.244.0.4", "10.244.0.5", "10.244.0.6"} {
		if held[i].String() != want {
			t.Errorf("address %d is %s, want %s", i, held[i], want)
		}
	}
	if address, err := pool.acquire(); err == nil || !strings.Contains(err.Error(), "10.244.0.0/29") {
		t.Errorf("a full pool gives %v, %v; want an error that names the prefix", address, err)
	}
	pool.release(held[1])
	if address, err := pool.acquire(); err != nil || address != held[1] {
		t.Errorf("acquire = %v, %v; want the released %s", address, err, held[1])
	}
}

// A client that still has the address of a deleted pod must not reach the next
// pod by it, as long as there are others.
func TestAddressPoolLetsReleasedAddressesRest(t *testing.T) {
	pool := newAddressPool(netip.MustParsePrefix("10.244.0.0/16"))
	first, err := pool.acquire()
	if err != nil {
		t.Fatal(err)
	}
	pool.release(first)
	for range 65533 {
		address, err := pool.acquire()
		if err != nil {
			t.Fatal(err)
		}
		if address == first {
			t.Fatal("a released address was handed out again while others were free")
		}
		if address.String() == "10.244.255.255" || address.String() == "10.244.0.0" {
			t.Fatalf("%s is no host's address", address)
		}
	}
	if address, err := pool.acquire(); err != nil || address != first {
		t.Errorf("acquire = %v, %v; want %s, the last that is free", address, err, first)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := Options{
		NodeIP:      netip.MustParseAddr("10.0.0.1"),
		PodCIDR:     netip.MustParsePrefix("10.244.0.0/16"),
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
	}
	for name, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no node IP":      {func(o *Options) { o.NodeIP = netip.Addr{} }, "node IP"},
		"IPv6 node":       {func(o *Options) { o.NodeIP = netip.MustParseAddr("fd00::1") }, "node IP"},
		"no pod CIDR":     {func(o *Options) { o.PodCIDR = netip.Prefix{} }, "pod CIDR"},
		"IPv6 pods":       {func(o *Options) { o.PodCIDR = netip.MustParsePrefix("fd00::/64") }, "pod CIDR"},
		"small pod CIDR":  {func(o *Options) { o.PodCIDR = netip.MustParsePrefix("10.244.0.0/30") }, "too small"},
		"node among pods": {func(o *Options) { o.NodeIP = netip.MustParseAddr("10.244.0.1") }, "contains the node IP"},
		"overlap": {func(o *Options) {
			o.ServiceCIDR = netip.MustParsePrefix("10.0.0.0/8")
			o.NodeIP = netip.MustParseAddr("192.0.2.1")
		}, "overlaps"},
	} {
		options := good
		test.change(&options)
		if err := options.validate(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: validate = %v, want an error with %q", name, err, test.want)
		}
	}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
}
