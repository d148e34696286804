package secrettest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// AWS is a fake of AWS Secrets Manager: GetSecretValue of the JSON 1.1 protocol. It requires a request that is signed for
// Secrets Manager, but does not verify the signature. Unlike the real service's, its error messages repeat the secret, so
// that tests find code that passes them on.
//
// The zero AWS is ready for use. Set its fields before the first request; its methods are safe for
// concurrent use.
type AWS struct {
	Control
	AccessKeyID string // the only one accepted; "" accepts any
	Region      string // the only one that a request may be signed for; "" accepts any

	mu      sync.Mutex
	secrets map[string]*awsSecret
}

type awsSecret struct {
	stages  map[string]*awsVersion
	deleted bool
}

type awsVersion struct {
	id      string
	text    *string
	binary  []byte
	created time.Time
}

const (
	awsCurrent  = "AWSCURRENT"
	awsPrevious = "AWSPREVIOUS"
	awsPending  = "AWSPENDING"
)

// Put makes text the current version of a secret, and the former one AWSPREVIOUS. It returns the version's ID.
func (a *AWS) Put(name, text string) (version string) {
	return a.put(name, awsCurrent, &awsVersion{text: &text})
}

// PutBinary is Put for a binary secret.
func (a *AWS) PutBinary(name string, content []byte) (version string) {
	return a.put(name, awsCurrent, &awsVersion{binary: content})
}

// PutPending makes text the AWSPENDING version, as a rotation does before it becomes current.
func (a *AWS) PutPending(name, text string) (version string) {
	return a.put(name, awsPending, &awsVersion{text: &text})
}

func (a *AWS) put(name, stage string, v *awsVersion) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.secrets[name]
	if s == nil || s.deleted {
		s = &awsSecret{stages: map[string]*awsVersion{}}
		if a.secrets == nil {
			a.secrets = map[string]*awsSecret{}
		}
		a.secrets[name] = s
	}
	v.id, v.created = uuid(), time.Now()
	if old := s.stages[stage]; old != nil && stage == awsCurrent {
		s.stages[awsPrevious] = old
	}
	s.stages[stage] = v
	return v.id
}

// Delete marks a secret for deletion.
func (a *AWS) Delete(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.secrets[name]; s != nil {
		s.deleted = true
	}
}

// ARN returns the ARN of a secret, which requests may use instead of its name.
func (a *AWS) ARN(region, name string) string {
	return "arn:aws:secretsmanager:" + region + ":123456789012:secret:" + name + "-A1b2C3"
}

var arn = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:(.+)-A1b2C3$`)

// nameOf returns the name of a secret given by name or ARN.
func nameOf(id string) string {
	if parts := arn.FindStringSubmatch(id); parts != nil {
		return parts[1]
	}
	return id
}

var signature = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/secretsmanager/aws4_request, ?SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, ?Signature=[0-9a-f]{64}$`)

func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ SecretID, VersionID, VersionStage string } // encoding/json ignores case
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	switch signed := signature.FindStringSubmatch(r.Header.Get("Authorization")); {
	case r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue":
		awsError(w, http.StatusBadRequest, "UnknownOperationException", "")
		return
	case signed == nil || r.Header.Get("X-Amz-Date") == "":
		awsError(w, http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token")
		return
	case a.AccessKeyID != "" && a.AccessKeyID != signed[1]:
		awsError(w, http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	case a.Region != "" && a.Region != signed[2]:
		awsError(w, http.StatusBadRequest, "InvalidSignatureException", "Credential should be scoped to a valid region.")
		return
	case json.Unmarshal(body, &in) != nil || in.SecretID == "":
		awsError(w, http.StatusBadRequest, "SerializationException", "")
		return
	}
	fault := a.call()
	if fault == Hanging {
		hang(r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	name, stage := nameOf(in.SecretID), cmp.Or(in.VersionStage, awsCurrent)
	s := a.secrets[name]
	var v *awsVersion
	said := ""
	if s != nil {
		if v = s.stages[stage]; v != nil && in.VersionID != "" && v.id != in.VersionID {
			v = nil
		}
		if v != nil {
			said = string(v.content())
		}
	}
	switch {
	case fault == Down:
		awsError(w, http.StatusInternalServerError, "InternalServiceError", "An error occurred on the server side: "+said)
	case fault == Throttling:
		awsError(w, http.StatusBadRequest, "ThrottlingException", "Rate exceeded: "+said)
	case fault == Denied:
		awsError(w, http.StatusBadRequest, "AccessDeniedException", "User is not authorized to perform: secretsmanager:GetSecretValue: "+said)
	case s != nil && s.deleted:
		awsError(w, http.StatusBadRequest, "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion: "+said)
	case v == nil:
		awsError(w, http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	default:
		out, err := json.Marshal(struct {
			ARN, Name     string
			VersionID     string  `json:"VersionId"`
			SecretString  *string `json:",omitempty"`
			SecretBinary  []byte  `json:",omitempty"`
			VersionStages []string
			CreatedDate   float64
		}{
			ARN: a.ARN("eu-central-1", name), Name: name, VersionID: v.id,
			SecretString: v.text, SecretBinary: v.binary,
			VersionStages: []string{stage}, CreatedDate: float64(v.created.UnixMilli()) / 1000,
		})
		if err != nil {
			panic(err)
		}
		if fault == Damaged {
			out = out[:len(out)/2]
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-RequestId", uuid())
		_, _ = w.Write(out) // the caller may have disconnected
	}
}

func (v *awsVersion) content() []byte {
	if v.text != nil {
		return []byte(*v.text)
	}
	return v.binary
}

func awsError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-RequestId", uuid())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "Message": message}) // the caller may have disconnected
}

// uuid returns a random UUID, the form of AWS's version and request IDs.
func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
