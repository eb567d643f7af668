package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// maxEnvFile bounds an environment file: a thousand keys take 100 KiB.
const maxEnvFile = 1 << 20

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// loadEnvFile sets the variables of a file that are not set yet: lines of
// NAME=value, blank lines, and comments that begin with #. A value may stand in
// quotation marks; nothing in it is expanded. Such files hold API keys: one that
// others can read is refused, and no message shows a value.
func loadEnvFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return usageError(fmt.Errorf("--env-file: %w", err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return usageError(fmt.Errorf("--env-file %s can be read by others (mode %04o), and it may hold keys: chmod 600 %s", path, info.Mode().Perm(), path))
	}
	if info.Size() > maxEnvFile {
		return usageError(fmt.Errorf("--env-file %s has %d bytes, more than the %d that are read", path, info.Size(), maxEnvFile))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return usageError(fmt.Errorf("--env-file: %w", err))
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxEnvFile)
	for n := 1; lines.Scan(); n++ {
		name, value, err := envLine(lines.Text())
		if err != nil {
			return usageError(fmt.Errorf("--env-file %s line %d %w", path, n, err))
		}
		if _, set := os.LookupEnv(name); name == "" || set {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return usageError(fmt.Errorf("--env-file %s line %d: %s cannot be set", path, n, name))
		}
	}
	return lines.Err()
}

// envLine reads one line; the name is empty where it says nothing.
func envLine(line string) (name, value string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
	name, value, ok := strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || !envName.MatchString(name) {
		return "", "", errors.New("is not NAME=value")
	}
	if value == "" {
		return name, "", nil
	}
	if q := value[0]; q == '"' || q == '\'' {
		value, rest, ok := strings.Cut(value[1:], string(q))
		if rest = strings.TrimSpace(rest); !ok || rest != "" && rest[0] != '#' {
			return "", "", errors.New("has a quotation mark without its partner, or text behind it")
		}
		return name, value, nil
	}
	if i := strings.Index(value, " #"); i >= 0 {
		value = strings.TrimSpace(value[:i])
	}
	return name, value, nil
}
