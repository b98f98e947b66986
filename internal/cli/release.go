package cli

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Release builds the magefile as a program for each platform, such as "linux/amd64". A program for
// Linux is static; one for macOS uses the libraries of the system. The folder out gets the programs,
// for each the list of its modules, and SHA256SUMS. The same checkout and the same Go give the same
// bytes.
func Release(ctx context.Context, out, version string, platforms ...string) error {
	return run(ctx, func(ctx context.Context) error {
		if _, err := os.Stat("magefile.go"); err != nil {
			return fmt.Errorf("%w; release builds a checkout of Grimperium: run it there", err)
		}
		if err := os.MkdirAll(out, 0o777); err != nil {
			return err
		}
		sums := ""
		for _, platform := range platforms {
			name := "grimperium-" + version + "-" + strings.ReplaceAll(platform, "/", "-")
			program := filepath.Join(out, name)
			if err := compile(ctx, program, platform); err != nil {
				return fmt.Errorf("building %s: %w", program, err)
			}
			data, err := os.ReadFile(program)
			if err != nil {
				return err
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(data))
			modules, err := bom(program, version, sum)
			if err == nil {
				err = os.WriteFile(program+".cdx.json", modules, 0o666)
			}
			if err != nil {
				return err
			}
			sums += fmt.Sprintf("%s  %s\n%x  %[2]s.cdx.json\n", sum, name, sha256.Sum256(modules))
			fmt.Println(program)
		}
		return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums), 0o666)
	})
}

// compile builds one program. Its file is named grimperium first: the name stands in its help.
func compile(ctx context.Context, program, platform string) error {
	dir, err := os.MkdirTemp(filepath.Dir(program), ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	built := filepath.Join(dir, "grimperium")
	goos, goarch, _ := strings.Cut(platform, "/")
	cmd := exec.CommandContext(ctx, "go", "tool", "mage", "-f", "-compile", built, "-goos", goos,
		"-goarch", goarch, "-ldflags=-s -w")
	// No setting of this machine may change the bytes.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false",
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return os.Rename(built, program)
}

// bom lists the modules in a program, as CycloneDX 1.6 defines it, from what Go writes into every
// program. It has no time stamp, so that two builds give the same list.
func bom(program, version, sum string) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
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
	list, err := json.MarshalIndent(map[string]any{
		"$schema":   "http://cyclonedx.org/schema/bom-1.6.schema.json",
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata": map[string]any{"component": map[string]any{
			"type": "application", "name": "grimperium", "version": version,
			"hashes": []any{map[string]any{"alg": "SHA-256", "content": sum}}}},
		"components": components,
	}, "", " ")
	return append(list, '\n'), err
}
