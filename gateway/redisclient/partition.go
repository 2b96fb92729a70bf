package redisclient

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// partitionCount is how many partitions a Redis Cluster has. Each is in one hash slot,
// so a Cluster can have up to as many masters that share the work. It must never change:
// replicas that count differently would look for an incident in different places.
const partitionCount = 64

// hashSlots is how many hash slots every Redis Cluster has.
const hashSlots = 16384

// Partition is a part of what Redis holds, all of which is on one server, so that one
// script may use any of its keys. It is the hash tag that its keys have, such as {42}, or
// empty for a server that is no Cluster: that has one partition only.
type Partition string

// Prefix is what keys of the partition have in front of the part that names them.
func (p Partition) Prefix() string {
	if p == "" {
		return ""
	}
	return string(p) + ":"
}

// Suffix is what keys of the partition have at their end if there is one in each.
func (p Partition) Suffix() string {
	if p == "" {
		return ""
	}
	return ":" + string(p)
}

// Partitions are all partitions. None means that there is one, without a tag.
type Partitions []Partition

// PartitionsOf returns the partitions of what the client is connected to.
func PartitionsOf(client redis.UniversalClient) Partitions {
	if _, ok := client.(*redis.ClusterClient); ok {
		return clusterPartitions()
	}
	return nil
}

// All returns each partition once.
func (ps Partitions) All() []Partition {
	if len(ps) == 0 {
		return []Partition{""}
	}
	return ps
}

// Of returns the partition for keys that belong to the text.
func (ps Partitions) Of(text string) Partition {
	if len(ps) == 0 {
		return ""
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(text)) // never fails
	return ps[hash.Sum32()%uint32(len(ps))]
}

// clusterPartitions are those of every Redis Cluster. Their slots are spread evenly, as
// Clusters give ranges of slots to their masters.
var clusterPartitions = sync.OnceValue(func() Partitions {
	partitions := make(Partitions, partitionCount)
	const width = hashSlots / partitionCount
	for missing, n := partitionCount, 0; missing > 0; n++ {
		tag := strconv.Itoa(n)
		if at := int(slotOf(tag)) / width; partitions[at] == "" {
			partitions[at] = Partition(fmt.Sprintf("{%s}", tag))
			missing--
		}
	}
	return partitions
})

// slotOf returns the hash slot of keys with the tag: the CRC-16 (XMODEM) of it.
func slotOf(tag string) uint16 {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % hashSlots
}
