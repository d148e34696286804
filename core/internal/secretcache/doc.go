// Package secretcache caches a secret for a bounded time, and picks up its rotations:
//
//	stores := map[string]secret.Driver{"awssm": awssm.Open(os.LookupEnv, true)}
//	src, err := secret.Open("awssm:orga-key#apiKey", stores, os.LookupEnv, secretcache.CheckKey)
//	keys := secretcache.New(src, secretcache.Options{Name: "awssm:orga-key#apiKey", Log: log})
//	key, err := keys.Get(ctx)
//	use(key.Value.Reveal())
package secretcache
