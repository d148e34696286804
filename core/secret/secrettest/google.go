package secrettest

import (
	"encoding/json"
	"hash/crc32"
	"net/http"
	"regexp"
	"strconv"
	"sync"
)

// Google is a fake of Google Secret Manager: AccessSecretVersion of the REST API. Unlike the real service's, its error
// messages repeat the secret, so that tests find code that passes them on.
//
// The zero Google is ready for use. Set its field before the first request; its methods are safe for
// concurrent use.
type Google struct {
	Control
	AccessToken string // the only one accepted; "" accepts requests without one

	mu      sync.Mutex
	secrets map[string][]*googleVersion // by projects/P/secrets/S
}

type googleVersion struct {
	content  []byte
	disabled bool
}

// Put adds a version to the secret projects/P/secrets/S and returns its number.
func (g *Google) Put(name string, content []byte) (version string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.secrets == nil {
		g.secrets = map[string][]*googleVersion{}
	}
	g.secrets[name] = append(g.secrets[name], &googleVersion{content: content})
	return strconv.Itoa(len(g.secrets[name]))
}

// Disable disables the latest version of a secret. It stays the latest version, but cannot be read.
func (g *Google) Disable(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if versions := g.secrets[name]; len(versions) > 0 {
		versions[len(versions)-1].disabled = true
	}
}

// Delete deletes a secret and all of its versions.
func (g *Google) Delete(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.secrets, name)
}

var access = regexp.MustCompile(`^/v1/(projects/[^/]+(?:/locations/[^/]+)?/secrets/[^/]+)/versions/([^/]+):access$`)

func (g *Google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := access.FindStringSubmatch(r.URL.Path)
	switch {
	case r.Method != http.MethodGet || asked == nil:
		googleError(w, http.StatusNotFound, "NOT_FOUND", "")
		return
	case g.AccessToken != "" && r.Header.Get("Authorization") != "Bearer "+g.AccessToken:
		googleError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
		return
	}
	fault := g.call()
	if fault == Hanging {
		hang(r)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	versions := g.secrets[asked[1]]
	n := len(versions)
	if asked[2] != "latest" {
		n, _ = strconv.Atoi(asked[2])
	}
	var v *googleVersion
	said := ""
	if n >= 1 && n <= len(versions) {
		v = versions[n-1]
		said = string(v.content)
	}
	switch {
	case fault == Down:
		googleError(w, http.StatusInternalServerError, "INTERNAL", "Internal error encountered: "+said)
	case fault == Throttling:
		googleError(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded: "+said)
	case fault == Denied:
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "Permission 'secretmanager.versions.access' denied: "+said)
	case v == nil:
		googleError(w, http.StatusNotFound, "NOT_FOUND", "Secret not found or has no versions.")
	case v.disabled:
		googleError(w, http.StatusBadRequest, "FAILED_PRECONDITION", "Secret Version is in DISABLED state: "+said)
	default:
		sum := crc32.Checksum(v.content, crc32.MakeTable(crc32.Castagnoli))
		if fault == Damaged {
			sum++
		}
		writeGoogle(w, http.StatusOK, map[string]any{
			"name": asked[1] + "/versions/" + strconv.Itoa(n),
			"payload": map[string]any{
				"data":       v.content,
				"dataCrc32c": strconv.FormatUint(uint64(sum), 10),
			},
		})
	}
}

func googleError(w http.ResponseWriter, status int, name, message string) {
	writeGoogle(w, status, map[string]any{
		"error": map[string]any{"code": status, "message": message, "status": name},
	})
}

func writeGoogle(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the caller may have disconnected
}
