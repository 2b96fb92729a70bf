package draw

import (
	"bytes"
	_ "embed" // for the page
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Sizes of a page in pixels. Heights are Grafana's; a column of its grid has as much as
// the width leaves.
const (
	pageWidth  = 1360
	rowHeight  = 30
	gap        = 8
	headHeight = 56
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Library is the source of the library that draws charts.
type Library struct {
	JS  template.JS
	CSS template.CSS
}

// Install installs the library with npm, at the version and with the checksum of the
// package lock, in a directory that is removed again.
func Install(npm string) (*Library, error) {
	dir, err := os.MkdirTemp("", "charts")
	if err != nil {
		return nil, fmt.Errorf("install charts: %w", err)
	}
	defer os.RemoveAll(dir)
	for name, content := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return nil, fmt.Errorf("install charts: %w", err)
		}
	}
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install charts with %s: %w: %s", npm, err, output)
	}
	dist := filepath.Join(dir, "node_modules", "uplot", "dist")
	js, jsErr := os.ReadFile(filepath.Join(dist, "uPlot.iife.min.js"))
	css, cssErr := os.ReadFile(filepath.Join(dist, "uPlot.min.css"))
	if err := errors.Join(jsErr, cssErr); err != nil {
		return nil, fmt.Errorf("install charts: %w", err)
	}
	return &Library{JS: template.JS(js), CSS: template.CSS(css)}, nil
}

var (
	//go:embed package.json
	packageJSON []byte
	//go:embed package-lock.json
	packageLock []byte
)

// Page draws the dashboard as a page of HTML that needs no other file. It is light or
// dark as its reader prefers, or as #light or #dark after its address says.
func (d *Drawing) Page(library *Library) ([]byte, error) {
	var page bytes.Buffer
	err := pageTemplate.Execute(&page, map[string]any{
		"Drawing": d, "Library": library, "Width": pageWidth, "RowHeight": rowHeight, "Gap": gap, "HeadHeight": headHeight, "Height": d.height(),
		"Start": d.clock(0), "End": d.clock(len(d.Times) - 1),
	})
	if err != nil {
		return nil, fmt.Errorf("draw dashboard %q: %w", d.Title, err)
	}
	return page.Bytes(), nil
}

// clock is the time of a point.
func (d *Drawing) clock(i int) string {
	if i < 0 || i >= len(d.Times) {
		return ""
	}
	return time.Unix(d.Times[i], 0).UTC().Format(time.TimeOnly)
}

// height is the page's, in pixels.
func (d *Drawing) height() int {
	rows := 0
	for _, p := range d.Panels {
		rows = max(rows, p.Grid.Y+p.Grid.H)
	}
	return headHeight + rows*(rowHeight+gap) + gap
}

// fewestColours is less than any drawing with lines has, and more than a page has that
// shows an error, or nothing.
const fewestColours = 20

// Photograph has Chromium render a page to a PNG. An image without drawings in it is an
// error.
func (d *Drawing) Photograph(chromium, page, path string) error {
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	defer os.RemoveAll(profile)
	args := []string{
		"--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--user-data-dir=" + profile, "--virtual-time-budget=10000",
		fmt.Sprintf("--window-size=%d,%d", pageWidth, d.height()), "--screenshot=" + path,
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // it refuses root otherwise; the page is our own
	}
	if output, err := exec.Command(chromium, append(args, "file://"+page)...).CombinedOutput(); err != nil {
		return fmt.Errorf("render page with %s: %w: %s", chromium, err, output)
	}
	return d.reduce(path)
}

// reduce writes an image anew with the 256 colours that it has most of, which takes half
// as many bytes: the others are those of the edges of letters. An image in which nothing
// is drawn is an error.
func (d *Drawing) reduce(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("render page: %s: %w", path, err)
	}
	bounds := picture.Bounds()
	if bounds.Dx() < pageWidth || bounds.Dy() < d.height() {
		return fmt.Errorf("render page: %s has %d x %d pixels, want %d x %d", path, bounds.Dx(), bounds.Dy(), pageWidth, d.height())
	}
	counts := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	if len(counts) < fewestColours {
		return fmt.Errorf("render page: %s has %d colours: nothing was drawn", path, len(counts))
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return counts[b] - counts[a] })
	var palette color.Palette
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	reduced := image.NewPaletted(bounds, palette)
	draw.Draw(reduced, bounds, picture, bounds.Min, draw.Src)
	var encoded bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&encoded, reduced); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	if err := os.WriteFile(path, encoded.Bytes(), 0o644); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	return nil
}
