//go:build js && wasm

package workers

import (
	"context"
	"fmt"
	"strings"
	"syscall/js"

	"github.com/orga-session/orga-session/core/secret"
)

// SecretsStore is the driver of "cloudflare:BINDING", a secret in Cloudflare's Secrets Store by the name of its binding.
// The store has no versions, so it uses a fingerprint of the content.
func SecretsStore(ref secret.Ref) (secret.Source, error) {
	binding := host.Get("env").Get(ref.Name)
	if binding.Type() != js.TypeObject || binding.Get("get").Type() != js.TypeFunction {
		return nil, fmt.Errorf("%w: the Worker has no Secrets Store binding %s; add it to secrets_store_secrets in wrangler.jsonc", secret.ErrMisconfigured, ref.Name)
	}
	return secret.SourceFunc(func(ctx context.Context) (secret.Secret, error) {
		_, result, err := do(ctx, "secret", map[string]any{"name": ref.Name})
		if err != nil {
			if strings.Contains(err.Error(), "not found") { // the runtime has no error codes
				return secret.Secret{}, fmt.Errorf("%w: the Secrets Store has no secret for %s", secret.ErrPermanent, ref.Name)
			}
			return secret.Secret{}, secret.Unavailable(err)
		}
		text := result.Get("text")
		if text.Type() != js.TypeString {
			return secret.Secret{}, fmt.Errorf("%w: the secret of %s is not a text", secret.ErrMalformed, ref.Name)
		}
		return secret.Secret{Value: secret.NewValue(text.String()), Version: secret.Fingerprint(text.String())}, nil
	}), nil
}
