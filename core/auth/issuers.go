package auth

import "sync"

// Issuers makes verifiers that share their issuers' keys: however many audiences an issuer has, its keys
// are fetched once. Verifiers share them when nothing but the audience of their configs differs. The zero
// Issuers is ready for use.
type Issuers struct {
	mu   sync.Mutex
	keys map[OIDCConfig]*keySet // by config, less the audience
}

// NewOIDC is the function of this name, with keys that the verifiers of i share.
func (i *Issuers) NewOIDC(cfg OIDCConfig) (Verifier, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return newOIDC(cfg, i.keysOf(cfg)), nil
}

func (i *Issuers) keysOf(cfg OIDCConfig) *keySet {
	cfg.Audience = ""
	i.mu.Lock()
	defer i.mu.Unlock()
	s, ok := i.keys[cfg]
	if !ok {
		if i.keys == nil {
			i.keys = make(map[OIDCConfig]*keySet)
		}
		s = newKeySet(cfg)
		i.keys[cfg] = s
	}
	return s
}
