// Package testbed runs the gateway and Redis as processes, sends alerts to
// gateways, and knows which objects must exist after that. The benchmarks
// (integration/bench) and the tests of the whole (integration) use it. The API
// server comes from the caller: a cluster of the caller's own, or an environment
// of the fixture.
package testbed

// Variables that name the programs: an absolute path, the path of a runfile, or
// the name of a program on the PATH. Default: "gateway" and "redis-server" on the
// PATH.
const (
	GatewayVariable = "STORMGATE_GATEWAY"
	RedisVariable   = "STORMGATE_REDIS_SERVER"
)
