package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tokens is a part of the file without comments and layout. What stands in quotes stays as it is.
func (p *Pipeline) tokens(rng hcl.Range) string {
	if rng.End.Byte > len(p.src) || rng.Start.Byte > rng.End.Byte {
		return ""
	}
	tokens, _ := hclsyntax.LexConfig(p.src[rng.Start.Byte:rng.End.Byte], "", hcl.InitialPos)
	var b strings.Builder
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenComment, hclsyntax.TokenNewline, hclsyntax.TokenEOF:
		default:
			b.Write(t.Bytes)
			b.WriteByte(0)
		}
	}
	return b.String()
}

func (p *Pipeline) key() string {
	h := sha256.New()
	// Where something is computed decides no result.
	fmt.Fprintf(h, "pipeline 3\n%q\n", p.tokens(hcl.Range{End: p.clusterAt.Start})+
		p.tokens(hcl.Range{Start: p.clusterAt.End, End: hcl.Pos{Byte: len(p.src)}}))
	for _, v := range p.Variables {
		data, _ := toJSON(v.value) // has been checked
		fmt.Fprintf(h, "variable %s %s\n", v.Name, data)
	}
	for _, path := range names(p.files) {
		fmt.Fprintf(h, "file %q %s\n", path, p.files[path])
	}
	for _, name := range names(p.versions) {
		fmt.Fprintf(h, "function %s %d\n", name, p.versions[name])
	}
	for _, c := range p.Columns {
		fmt.Fprintf(h, "column %q %t\n", c, p.columns[c].number)
	}
	return hex.EncodeToString(h.Sum(nil))
}
