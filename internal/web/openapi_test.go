package web

import (
	"encoding/json"
	"maps"
	"mime"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// described are the types of the answers by their names in openapi.json.
var described = map[string]reflect.Type{
	"Status": reflect.TypeFor[Status](), "Active": reflect.TypeFor[Active](),
	"Ended": reflect.TypeFor[Ended](), "Molecules": reflect.TypeFor[Molecules](),
	"Molecule": reflect.TypeFor[Listed](), "Detail": reflect.TypeFor[Detail](),
	"Target": reflect.TypeFor[TargetDetail](), "Geometry": reflect.TypeFor[Geometry](),
}

type schema = map[string]any

// schemaOf is the schema of what encoding/json makes of a type.
func schemaOf(t reflect.Type) schema {
	if t == reflect.TypeFor[time.Time]() {
		return schema{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int:
		return schema{"type": "integer"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Pointer:
		return schema{"type": []any{schemaOf(t.Elem())["type"], "null"}}
	case reflect.Slice, reflect.Array:
		return schema{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		for name, described := range described {
			if t == described {
				return schema{"$ref": "#/components/schemas/" + name}
			}
		}
	}
	return schema{} // any
}

// objectOf is the schema of a struct.
func objectOf(t reflect.Type) schema {
	properties, required := schema{}, []any{}
	for i := range t.NumField() {
		name, rest, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		properties[name] = schemaOf(t.Field(i).Type)
		if rest == "" {
			required = append(required, name)
		}
	}
	return schema{"type": "object", "required": required, "properties": properties}
}

// bare is a part of the description without its texts.
func bare(v any) any {
	switch v := v.(type) {
	case schema:
		out := schema{}
		for name, part := range v {
			if text, ok := part.(string); !ok || text == "" || name != "description" {
				out[name] = bare(part)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, part := range v {
			out = append(out, bare(part))
		}
		return out
	}
	return v
}

// TestOpenAPI compares the description with the types of the answers, with the routes, and with
// answers.
func TestOpenAPI(t *testing.T) {
	s := serve(t, "", "127.0.0.1:0")
	s.write(batchEvents...)
	_, text, _ := s.get("/api/v1/openapi.json", nil)
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Content schema }
		}
		Components struct{ Schemas schema }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for name, typ := range described {
		if got := bare(doc.Components.Schemas[name]); !reflect.DeepEqual(got, objectOf(typ)) {
			t.Errorf("%s:\n%v\nwant\n%v", name, got, objectOf(typ))
		}
	}
	if len(doc.Components.Schemas) != len(described) {
		t.Errorf("schemas: %v", slices.Collect(maps.Keys(doc.Components.Schemas)))
	}
	for path := range s.live.routes() {
		_, known := doc.Paths[path]
		if machine := strings.HasPrefix(path, "/api/") || path == "/events" ||
			path == "/metrics"; known != machine {
			t.Errorf("%s is described: %v", path, known)
		}
	}
	seen := 0
	for path, ask := range map[string][]string{
		"/api/v1/status":            {"/api/v1/status"},
		"/api/v1/batch/{id}/status": {"/api/v1/batch/b1/status", "/api/v1/batch/none/status"},
		"/api/v1/molecules":         {"/api/v1/molecules", "/api/v1/molecules?limit=x"},
		"/api/v1/molecules/{id}":    {"/api/v1/molecules/mol_1", "/api/v1/molecules/none"},
		"/api/v1/openapi.json":      {"/api/v1/openapi.json"},
		"/metrics":                  {"/metrics"},
	} {
		for _, address := range ask {
			code, _, head := s.get(address, nil)
			kind, _, err := mime.ParseMediaType(head.Get("Content-Type"))
			response, ok := doc.Paths[path]["get"].Responses[strconv.Itoa(code)]
			if _, known := response.Content[kind]; err != nil || !ok || !known {
				t.Errorf("%s answers %d with %s, which is not described", address, code, kind)
			}
			seen++
		}
	}
	for path, methods := range doc.Paths {
		if path != "/events" { // TestEvents
			seen -= len(methods["get"].Responses)
		}
	}
	if seen != 0 {
		t.Errorf("%d more answers than described ones", seen)
	}
}
