// Package browser tests the page of tools/report in Chromium: what of it can be seen, at
// which place, by which keys it is used, and what it asks of the network.
//
// Chromium and the checks of accessibility are packages of npm, pinned by checksum in
// MODULE.bazel. Nothing of the machine's but the C library is used.
package browser

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/chromedp/chromedp"

	"stormgate.internal/tools/runfiles"
)

const (
	// chromiumVariable names the file bin/chromium.br of the package @sparticuz/chromium.
	chromiumVariable = "STORMGATE_CHROMIUM"
	// axeVariable names the file axe.min.js of the package axe-core.
	axeVariable = "STORMGATE_AXE"
)

// chromium is the context of the browser that all tests open their tabs in.
var chromium context.Context

func TestMain(m *testing.M) {
	code, err := withChromium(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser test:", err)
		code = 1
	}
	os.Exit(code)
}

func withChromium(run func() int) (code int, err error) {
	packed, err := runfiles.NamedBy(chromiumVariable)
	if err != nil {
		return 0, fmt.Errorf("find Chromium: %w; run tools/bazel test //tools/report/browser:browser_test, which fetches it", err)
	}
	dir, err := os.MkdirTemp(os.Getenv("TEST_TMPDIR"), "chromium")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := unpack(filepath.Dir(packed), dir); err != nil {
		return 0, fmt.Errorf("unpack Chromium: %w", err)
	}
	var said bytes.Buffer
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(filepath.Join(dir, "chromium")),
		chromedp.UserDataDir(filepath.Join(dir, "profile")),
		// The page is our own, and what Bazel runs is in a sandbox, where there is no second one.
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoInheritEnv,
		chromedp.Env("HOME="+dir, "TMPDIR="+dir, "LD_LIBRARY_PATH="+filepath.Join(dir, "lib"), "FONTCONFIG_FILE="+filepath.Join(dir, "fonts.conf")),
		chromedp.CombinedOutput(&said),
		chromedp.WSURLReadTimeout(patience),
	)...)
	defer stop()
	ctx, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(ctx); err != nil {
		return 0, fmt.Errorf("start Chromium: %w; it said: %s", err, said.Bytes())
	}
	chromium = ctx
	return run(), chromedp.Cancel(ctx)
}

// unpack writes Chromium with its libraries and fonts.
func unpack(packed, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range []string{"al2023.tar.br", "swiftshader.tar.br", "fonts.tar.br"} {
		if err := unpackFile(filepath.Join(packed, name), func(r io.Reader) error { return extract(r, root) }); err != nil {
			return err
		}
	}
	err = unpackFile(filepath.Join(packed, "chromium.br"), func(r io.Reader) error { return write(root, "chromium", r) })
	if err != nil {
		return err
	}
	// Its own looks for fonts where a cloud service has them.
	config := fmt.Sprintf(`<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>%s</dir><cachedir>%s</cachedir></fontconfig>`,
		filepath.Join(dir, "fonts"), filepath.Join(dir, "fonts-cache"))
	return os.WriteFile(filepath.Join(dir, "fonts.conf"), []byte(config), 0o644)
}

func unpackFile(name string, to func(io.Reader) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := to(brotli.NewReader(file)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func extract(r io.Reader, root *os.Root) error {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := root.MkdirAll(filepath.Dir(header.Name), 0o755); err != nil {
			return err
		}
		if err := write(root, header.Name, archive); err != nil {
			return err
		}
	}
}

func write(root *os.Root, name string, r io.Reader) error {
	file, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, r)
	return errors.Join(err, file.Close())
}
