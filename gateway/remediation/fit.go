package remediation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// AnnotationCut says what of the signal an object lacks, since the API server's store
// takes no larger objects.
const AnnotationCut = "kubernaut.io/cut"

const (
	// maxObjectBytes is the most that an object may be estimated to take. The API server's
	// store takes 1 MiB for sure, of which some is left for what controllers add.
	maxObjectBytes = 900_000
	// maxKeyBytes is the longest name of a label or annotation that is kept as it is.
	maxKeyBytes = 253
	// The following are what is kept of a signal that is too large as a whole.
	maxCutLabels      = 500
	maxCutLabelValue  = 253
	maxCutAnnotations = 100
	maxCutAnnotation  = 2048
)

// fitting is what of a signal an object can hold.
type fitting struct {
	// providerLabels are those of the provider data.
	labels, providerLabels, annotations map[string]string
	payload                             []byte
	// cut says what was left out, or is empty.
	cut string
}

// fit returns what of the signal an object can hold. Most signals fit as they are. What
// senders write may be larger than any object, and a signal that the API server refuses
// would be sent again for ever. Names and identity are never cut, only what describes.
func fit(s *signal.Signal) fitting {
	f := fitting{
		labels: cutValues(s.Labels, maxSignalLabel), providerLabels: s.Labels,
		annotations: cutValues(s.Annotations, maxSignalAnnotation), payload: s.Payload,
	}
	var cuts []string
	if n := longKeys(f.labels) + longKeys(f.annotations); n > 0 {
		f.labels, f.providerLabels, f.annotations = cutKeys(f.labels), cutKeys(f.providerLabels), cutKeys(f.annotations)
		cuts = append(cuts, fmt.Sprintf("%d names", n))
	}
	if f.rough() > maxObjectBytes && f.size() > maxObjectBytes {
		// The payload has all of it once more, so it goes first.
		whole := f
		for part := 1; f.sizeWithoutPayload() > maxObjectBytes/2; part *= 2 {
			f = whole
			f.cut = f.cutMaps(part)
		}
		if f.cut != "" {
			cuts = append(cuts, f.cut)
		}
		room := max(0, maxObjectBytes-f.sizeWithoutPayload())
		if keep := max(0, room*3/4-4); keep < len(f.payload) {
			cuts = append(cuts, fmt.Sprintf("payload of %d bytes after %d", len(f.payload), keep))
			f.payload = f.payload[:keep]
		}
	}
	f.cut = strings.Join(cuts, ", ")
	return f
}

// cutMaps keeps the beginning of labels and annotations, less of it with each part that
// it may take, and says what it left out.
func (f *fitting) cutMaps(part int) string {
	var cuts []string
	if most := maxCutLabels / part; len(f.labels) > most {
		cuts = append(cuts, fmt.Sprintf("%d labels", len(f.labels)-most))
		f.labels, f.providerLabels = firstOf(f.labels, most), firstOf(f.providerLabels, most)
	}
	if most := maxCutAnnotations / part; len(f.annotations) > most {
		cuts = append(cuts, fmt.Sprintf("%d annotations", len(f.annotations)-most))
		f.annotations = firstOf(f.annotations, most)
	}
	cuts = append(cuts, fmt.Sprintf("labels after %d and annotations after %d bytes", maxCutLabelValue/part, maxCutAnnotation/part))
	f.labels, f.providerLabels = cutValues(f.labels, maxCutLabelValue/part), cutValues(f.providerLabels, maxCutLabelValue/part)
	f.annotations = cutValues(f.annotations, maxCutAnnotation/part)
	return strings.Join(cuts, ", ")
}

// rough is at least size, and quick: no byte takes more than 6 in JSON.
func (f *fitting) rough() int {
	texts, count := 0, 0
	for _, values := range []map[string]string{f.labels, f.annotations, f.providerLabels} {
		count += len(values)
		for name, value := range values {
			texts += 2*len(name) + len(value)
		}
	}
	return 8192 + 8*texts + 32*count + (len(f.payload)+2)*4/3
}

func (f *fitting) size() int { return f.sizeWithoutPayload() + (len(f.payload)+2)*4/3 }

// sizeWithoutPayload is an estimate, and more than what is stored. Names of labels and
// annotations are stored once more, as those of managed fields.
func (f *fitting) sizeWithoutPayload() int {
	size := 8192
	for name, value := range f.labels {
		size += 2*jsonSize(name) + jsonSize(value) + 16
	}
	for name, value := range f.annotations {
		size += 2*jsonSize(name) + jsonSize(value) + 16
	}
	for name, value := range f.providerLabels {
		size += (jsonSize(name) + jsonSize(value) + 8) * 4 / 3
	}
	return size
}

// jsonSize is the length of a text as JSON.
func jsonSize(text string) int {
	encoded, err := json.Marshal(text)
	if err != nil {
		return 6 * len(text) // a text can always be encoded
	}
	return len(encoded)
}

func longKeys(values map[string]string) (n int) {
	for name := range values {
		if len(name) > maxKeyBytes {
			n++
		}
	}
	return n
}

// cutKeys shortens long names. What remains of two names differs if they do.
func cutKeys(values map[string]string) map[string]string {
	if longKeys(values) == 0 {
		return values
	}
	result := make(map[string]string, len(values))
	for name, value := range values {
		if len(name) > maxKeyBytes {
			sum := sha256.Sum256([]byte(name))
			name = cut(name, maxKeyBytes-17) + "~" + hex.EncodeToString(sum[:8])
		}
		result[name] = value
	}
	return result
}

// firstOf keeps the first names in their order.
func firstOf(values map[string]string, n int) map[string]string {
	names := slices.Sorted(maps.Keys(values))
	result := make(map[string]string, n)
	for _, name := range names[:min(n, len(names))] {
		result[name] = values[name]
	}
	return result
}

// noteCut makes it known on the object that it lacks something.
func noteCut(object *v1alpha1.RemediationRequest, what string) {
	if what != "" {
		object.Annotations[AnnotationCut] = what
	}
}
