package cli

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"grimperium/internal/command"
)

// Release builds the magefile as a program for a platform, such as "linux/amd64"; "" is all. A
// program for Linux is static; one for macOS uses the libraries of the system. The folder out gets
// an archive for each platform, for each program the list of its modules, and SHA256SUMS. The same
// checkout and the same Go give the same bytes. source is the text of the magefile.
func Release(ctx context.Context, out, version, source, platform string) error {
	return run(ctx, func(ctx context.Context) error {
		chosen := platforms
		if platform != "" {
			chosen = []string{platform}
			if err := oneOf("-platform", platform, platforms...); err != nil {
				return err
			}
		}
		if err := checkout(); err != nil {
			return err
		}
		if err := os.MkdirAll(out, 0o777); err != nil {
			return err
		}
		files, err := companions(commandsOf(source), version)
		if err != nil {
			return err
		}
		sums := ""
		for _, platform := range chosen {
			name := command.Release + "-" + version + "-" + strings.ReplaceAll(platform, "/", "-")
			path := filepath.Join(out, name)
			program, err := build(ctx, platform)
			if err != nil {
				return fmt.Errorf("building %s: %w", path, err)
			}
			files[command.Release] = program
			archive, err := packArchive(name, files)
			modules, bomErr := bom(program, version)
			err = cmp.Or(err, bomErr, os.WriteFile(path+".tar.gz", archive, 0o666),
				os.WriteFile(path+".cdx.json", modules, 0o666))
			if err != nil {
				return err
			}
			sums += fmt.Sprintf("%x  %s.tar.gz\n%x  %[2]s.cdx.json\n", sha256.Sum256(archive), name,
				sha256.Sum256(modules))
			if err := printData(path + ".tar.gz\n"); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums), 0o666)
	})
}

// platforms are those for which the program is built.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}

// companions are the files that every archive has besides the program, by their names there. They
// are what a project needs, the man page, and what shells complete commands by.
func companions(c commands, version string) (files map[string][]byte, err error) {
	files = map[string][]byte{command.Release + ".1": []byte(c.man(command.Release, version))}
	for _, shell := range shells {
		name := command.Release + "." + shell
		if shell == "zsh" {
			name = "_" + command.Release // where zsh looks for it
		}
		files["completions/"+name] = []byte(c.completion(shell, command.Release))
	}
	for _, name := range []string{"LICENSE", "pipeline.hcl", "stages/embed.py"} {
		if files[name], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// packArchive packs files into a folder of this name. No time and no user of this machine gets into
// it.
func packArchive(folder string, files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: folder + "/" + name, Mode: 0o644,
			Size: int64(len(files[name])), ModTime: time.Unix(0, 0)}
		if name == command.Release {
			header.Mode = 0o755
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	err := cmp.Or(w.Close(), zipped.Close())
	return b.Bytes(), err
}

// build compiles the program for a platform.
func build(ctx context.Context, platform string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "grimperium-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, command.Release) // the name stands in its help
	goos, goarch, _ := strings.Cut(platform, "/")
	cmd := exec.CommandContext(ctx, "go", "tool", "mage", "-f", "-compile", path, "-goos", goos,
		"-goarch", goarch, "-ldflags=-s -w")
	// No setting of this machine may change the bytes.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false",
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// bom lists the modules in a program, as CycloneDX 1.6 defines it, from what Go writes into every
// program. It has no time stamp, so that two builds give the same list.
func bom(program []byte, version string) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	component := func(name, version string) map[string]any {
		purl := "pkg:golang/" + strings.ToLower(name) + "@" + url.QueryEscape(version)
		return map[string]any{"type": "library", "name": name, "version": version, "purl": purl,
			"bom-ref": purl}
	}
	components := []any{component("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, module := range info.Deps {
		if module.Sum != "" { // else it is this module
			components = append(components, component(module.Path, module.Version))
		}
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(program))
	list, err := json.MarshalIndent(map[string]any{
		"$schema":   "http://cyclonedx.org/schema/bom-1.6.schema.json",
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata": map[string]any{"component": map[string]any{
			"type": "application", "name": command.Release, "version": version,
			"hashes": []any{map[string]any{"alg": "SHA-256", "content": sum}}}},
		"components": components,
	}, "", " ")
	return append(list, '\n'), err
}

// Bench measures what a batch costs, in the short form.
func Bench(ctx context.Context) error {
	if err := checkout(); err != nil {
		return err
	}
	err := tools(ctx, "make", "ninja-build", "snakemake", "python3-pandas")
	if err != nil {
		fmt.Fprintln(stderr, "Not compared with all peers:", err)
	}
	for _, args := range [][]string{
		{"run", "./bench/graph", "-n=300"},
		{"run", "./bench/overhead", "-rounds=1"},
		{"run", "./bench/table", "-parts=merge", "-rounds=2"},
	} {
		if err := goCommand(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// Lint reads the project's own code and documents.
func Lint(ctx context.Context) error {
	if err := checkout(); err != nil {
		return err
	}
	return goCommand(ctx, "run", "./internal/lint")
}

// Test runs all tests, and installs what they need.
func Test(ctx context.Context, race bool) error {
	if err := checkout(); err != nil {
		return err
	}
	err := tools(ctx, "strace", "zstd", "slurmctld", "slurmd", "slurm-client", "postgresql", "tmux",
		"fish", "zsh", "man-db", "g++", "python3-pandas")
	if err != nil {
		return err
	}
	if err := tools(ctx, "chromium"); err != nil { // Ubuntu has no such package
		fmt.Fprintln(stderr, "The pages are not opened in a browser:", err)
	}
	list, err := exec.CommandContext(ctx, "go", "list", "./...").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	args := []string{"test", "-timeout=25m"}
	if race {
		args = append(args, "-race")
		if os.Getenv("GORACE") == "" { // each program would sleep for a second before it ends
			os.Setenv("GORACE", "atexit_sleep_ms=0")
		}
	}
	// Go prints the packages in their order. The first of the list takes minutes, so it comes last.
	packages := strings.Fields(string(list))
	return goCommand(ctx, slices.Concat(args, packages[1:], packages[:1])...)
}

// Torture runs the long form of the crash tests, with other flags if they are given.
func Torture(ctx context.Context, kills, states *int) error {
	if err := checkout(); err != nil {
		return err
	}
	if err := tools(ctx, "strace", "zstd"); err != nil {
		return err
	}
	args := []string{"test", "./internal/crash", "-count=1", "-timeout=6h", "-v", "-full",
		"-kills=1000", "-states=7000"} // the last of a flag counts
	if kills != nil {
		args = append(args, fmt.Sprint("-kills=", *kills))
	}
	if states != nil {
		args = append(args, fmt.Sprint("-states=", *states))
	}
	return goCommand(ctx, args...)
}

// checkout is an error outside of a checkout, whose code the commands for developers run.
func checkout() error {
	_, err := os.Stat("magefile.go")
	if err != nil {
		err = fmt.Errorf("%w; this is for a checkout of Grimperium: run it there", err)
	}
	return err
}

// goCommand runs the go command with its output on the terminal.
func goCommand(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
