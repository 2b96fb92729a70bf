package dedup

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed scripts/server.lua
	serverSource string
	//go:embed scripts/record.lua
	recordSource string

	//go:embed scripts/begin.lua
	beginSource string
	//go:embed scripts/settle.lua
	settleSource string
	//go:embed scripts/count.lua
	countSource string
	//go:embed scripts/touch.lua
	touchSource string
	//go:embed scripts/forget.lua
	forgetSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/register.lua
	registerSource string

	//go:embed scripts/lease.lua
	leaseSource string
	//go:embed scripts/index.lua
	indexSource string
	//go:embed scripts/complete.lua
	completeSource string
	//go:embed scripts/abandon.lua
	abandonSource string
	//go:embed scripts/rest.lua
	restSource string
)

// What each signal, or each object, takes.
var (
	beginScript    = redis.NewScript(serverSource + beginSource)
	settleScript   = redis.NewScript(recordSource + settleSource)
	countScript    = redis.NewScript(recordSource + countSource)
	touchScript    = redis.NewScript(touchSource)
	forgetScript   = redis.NewScript(forgetSource)
	releaseScript  = redis.NewScript(releaseSource)
	registerScript = redis.NewScript(recordSource + registerSource)
)

// What the care for the index takes.
var (
	leaseScript    = redis.NewScript(serverSource + leaseSource)
	indexScript    = redis.NewScript(indexSource)
	completeScript = redis.NewScript(serverSource + completeSource)
	abandonScript  = redis.NewScript(abandonSource)
	restScript     = redis.NewScript(restSource)
)
