package policy

// Remediation paths, from the boldest to leaving it to people.
const (
	PathAggressive   = "aggressive"
	PathModerate     = "moderate"
	PathConservative = "conservative"
	PathManual       = "manual"
)

// paths holds, by environment, the path for P0, P1 and P2.
var paths = map[string][3]string{
	"production":       {PathAggressive, PathConservative, PathConservative},
	"staging":          {PathModerate, PathModerate, PathManual},
	"development":      {PathAggressive, PathModerate, PathManual},
	UnknownEnvironment: {PathConservative, PathConservative, PathConservative},
}

// otherPaths is for environments that the table does not name.
var otherPaths = [3]string{PathModerate, PathModerate, PathConservative}

// Path returns how boldly a signal of the priority may be remedied in the
// environment. P3, and whatever is no priority, is left to people.
func Path(environment, priority string) string {
	row, ok := paths[environment]
	if !ok {
		row = otherPaths
	}
	switch priority {
	case "P0":
		return row[0]
	case "P1":
		return row[1]
	case "P2":
		return row[2]
	}
	return PathManual
}
