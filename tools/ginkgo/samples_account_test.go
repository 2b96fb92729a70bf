package ginkgo

import (
	"flag"
	"maps"
	"time"

	. "github.com/onsi/ginkgo/v2"
)

// failsAtFirst is the body of a spec that passes at its third attempt.
func failsAtFirst() func() {
	attempts := 0
	return func() {
		if attempts++; attempts < 3 {
			Fail("the kettle is cold")
		}
	}
}

// Suites that Ginkgo would call a success, or nearly so.
func init() {
	maps.Copy(samples, map[string]func(*Options){
		"skips all": func(*Options) {
			Describe("tea", func() {
				It("is hot", func() { Skip("no kettle") })
				Describe("with milk", func() {
					BeforeEach(func() { Skip("no cow") })
					traced("is white")
				})
				PIt("is green", func() {})
			})
		},
		"skips all in one shard": func(*Options) {
			Describe("tea", func() { It("is hot", func() { Skip("no kettle") }) })
			Describe("coffee", func() { traced("is black") })
		},
		"skips in BeforeAll": func(*Options) {
			Describe("story", Ordered, func() {
				BeforeAll(func() { Skip("no listeners") })
				traced("begins")
				traced("ends")
			})
		},
		"skips some": func(*Options) {
			Describe("tea", func() {
				It("is hot", func() { Skip("no kettle") })
				traced("is wet")
				PIt("is green", func() {})
			})
		},
		"leaves out some": func(*Options) {
			if err := flag.Set("ginkgo.label-filter", "!slow"); err != nil {
				panic(err)
			}
			Describe("tea", func() {
				traced("is wet")
				It("is hot", Label("slow"), func() { Fail("the kettle is cold") })
			})
		},
		"may skip": func(o *Options) {
			o.AllowSkipped = true
			Describe("tea", func() { It("is hot", func() { Skip("no kettle") }) })
		},
		"may skip at once": func(o *Options) {
			o.AllowSkipped = true
			BeforeSuite(func() { Skip("not today") })
			Describe("anything", func() { traced("runs") })
		},
		"retried": func(*Options) {
			Describe("tea", func() {
				It("is hot in the end", FlakeAttempts(4), failsAtFirst())
				traced("is wet")
			})
		},
		"may be retried": func(o *Options) {
			o.AllowRetries = true
			Describe("tea", func() { It("is hot in the end", FlakeAttempts(4), failsAtFirst()) })
		},
		"retried in vain": func(o *Options) {
			o.AllowRetries = true
			Describe("tea", func() { It("stays cold", FlakeAttempts(3), func() { Fail("the kettle is cold") }) })
		},
		"retried until it skips": func(*Options) {
			Describe("tea", func() {
				attempts := 0
				It("is given up", FlakeAttempts(3), func() {
					if attempts++; attempts == 1 {
						Fail("the kettle is cold")
					}
					Skip("no kettle")
				})
				traced("is wet")
			})
		},
		"repeated": func(*Options) {
			Describe("tea", func() {
				cups := 0
				It("is enough for all", MustPassRepeatedly(3), func() {
					if cups++; cups == 3 {
						Fail("empty")
					}
				})
			})
		},
		"aborts": func(*Options) {
			Describe("tea", Ordered, func() {
				It("boils", func() { AbortSuite("no water") })
				traced("is poured")
			})
		},
		"cleans up badly": func(*Options) {
			Describe("tea", func() { It("is drunk", func() { DeferCleanup(func() { Fail("broke the cup") }) }) })
		},
		"fails on the side": func(*Options) {
			Describe("tea", func() {
				It("is served", func() {
					go Fail("spilled")
					time.Sleep(10 * time.Second) // the panic of that goroutine ends the process
				})
			})
		},
	})
}
