// Package outfile has files that a person names on a command line: where they are, and how
// they are written.
package outfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Place is a path as the person meant it who typed it: Bazel starts programs elsewhere. An
// empty one stays empty.
func Place(name string) string {
	if dir := os.Getenv("BUILD_WORKING_DIRECTORY"); name != "" && dir != "" && !filepath.IsAbs(name) {
		return filepath.Join(dir, name)
	}
	return name
}

// Replace writes a file as a whole: who reads it meanwhile has the one before. What is there
// and no regular file, such as /dev/stdout, is written to, and stays what it is: to the
// superuser a device is a name like any other.
func Replace(name string, content []byte) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return through(name, content)
	}
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error says what is wrong
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// through writes to what is there.
func through(name string, content []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.Write(content)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
