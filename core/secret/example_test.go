package secret_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/orga-session/orga-session/core/secret"
)

var errNoEntry = errors.New("no such entry")

// keychain is a fake client of a store.
type keychain map[string]string

func (k keychain) read(_ context.Context, name string) (string, error) {
	text, ok := k[name]
	if !ok {
		return "", errNoEntry
	}
	return text, nil
}

// open is the store's driver.
func (k keychain) open(ref secret.Ref) (secret.Source, error) {
	return secret.SourceFunc(func(ctx context.Context) (secret.Secret, error) {
		text, err := k.read(ctx, ref.Name)
		switch {
		case errors.Is(err, errNoEntry):
			return secret.Secret{}, fmt.Errorf("%w: %s", secret.ErrPermanent, ref.Name)
		case err != nil:
			return secret.Secret{}, secret.Unavailable(err)
		}
		return secret.Secret{Value: secret.NewValue(text), Version: secret.Fingerprint(text)}, nil
	}), nil
}

// A custom store. In core.Drivers, it serves ORGA_API_KEY_SOURCE=keychain:orga#apiKey.
func ExampleDriver() {
	stores := map[string]secret.Driver{"keychain": keychain{"orga": `{"apiKey":"sk_orga_ai_test"}`}.open}
	for _, setting := range []string{"keychain:orga#apiKey", "keychain:other", "vault:orga"} {
		src, err := secret.Open(setting, stores, nil, nil)
		if err != nil {
			fmt.Println(err)
			continue
		}
		key, err := src.Fetch(context.Background())
		fmt.Println(len(key.Value.Reveal()), err)
	}
	// Output:
	// 15 <nil>
	// 0 refused by the store: other
	// invalid setting: unknown scheme; this program knows keychain:, env:, file:
}
