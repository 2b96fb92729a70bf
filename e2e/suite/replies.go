package suite

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
)

// RepliesWith returns the answers with that code.
func RepliesWith(replies []Reply, code int) []Reply {
	return slices.DeleteFunc(slices.Clone(replies), func(r Reply) bool { return r.Code != code })
}

// OnlyReply returns the answer with that code. The spec fails unless there is
// exactly one.
func OnlyReply(replies []Reply, code int) Reply {
	ginkgo.GinkgoHelper()
	found := RepliesWith(replies, code)
	gomega.Expect(found).To(gomega.HaveLen(1), "answers of code %d, of all these: %v", code, codes(replies))
	return found[0]
}

func codes(replies []Reply) map[int]int {
	counts := map[int]int{}
	for _, reply := range replies {
		counts[reply.Code]++
	}
	return counts
}

// BeProblem matches an error of the gateway with that code and title.
func BeProblem(code int, title string) types.GomegaMatcher {
	return &matcher[Reply]{
		wanted: fmt.Sprintf("%d %s", code, title),
		check: func(r Reply) differences {
			var d differences
			d.compare("code", r.Code, code)
			d.compare("is a problem", r.Problem != nil, true)
			if p := r.Problem; p != nil {
				d.compare("title", p.Title, title)
				d.compare("type", p.Type, "https://kubernaut.io/errors/"+problemTypes[code])
				d.compare("instance", p.Instance, PrometheusRoute)
			}
			return d
		},
	}
}

var problemTypes = map[int]string{
	http.StatusBadRequest:          "validation-error",
	http.StatusInternalServerError: "internal-error",
}
