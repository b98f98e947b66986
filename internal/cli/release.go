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

// Release builds the magefile as a program for each platform, such as "linux/amd64". A program for
// Linux is static; one for macOS uses the libraries of the system. The folder out gets an archive
// for each platform, for each program the list of its modules, and SHA256SUMS. The same checkout
// and the same Go give the same bytes. source is the text of the magefile.
func Release(ctx context.Context, out, version, source string, platforms ...string) error {
	return run(ctx, func(ctx context.Context) error {
		for _, platform := range platforms {
			if err := oneOf("-platform", platform, Platforms...); err != nil {
				return err
			}
		}
		if _, err := os.Stat("magefile.go"); err != nil {
			return fmt.Errorf("%w; release builds a checkout of Grimperium: run it there", err)
		}
		if err := os.MkdirAll(out, 0o777); err != nil {
			return err
		}
		files, err := companions(source, version)
		if err != nil {
			return err
		}
		sums := ""
		for _, platform := range platforms {
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

// Platforms are those for which the program is built.
var Platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}

// companions are the files that every archive has besides the program, by their names there. They
// are what a project needs, the man page, and what shells complete commands by.
func companions(source, version string) (map[string][]byte, error) {
	c, err := commandsOf(source)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{command.Release + ".1": []byte(c.man(command.Release, version))}
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
