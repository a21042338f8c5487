// Go's net/http with golang-jwt: answers nobody but those whom Countersign vouches for.
//
//	COUNTERSIGN_JWKS=http://127.0.0.1:8080/.well-known/countersign/jwks.json \
//	COUNTERSIGN_SITE=acme-support PORT=3000 go run .
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"math/big"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// Visitor is what an assertion says.
type Visitor struct {
	Issuer     string          `json:"iss"`
	Audience   string          `json:"aud"`
	Issued     int64           `json:"iat"`
	Expires    int64           `json:"exp"`
	Status     string          `json:"status"`
	ID         *string         `json:"sub"`
	Name       *string         `json:"name"`
	Email      *string         `json:"email"`
	Attributes json.RawMessage `json:"attributes"`
	Claimed    json.RawMessage `json:"claimed"`
	Details    json.RawMessage `json:"details"`
}

// Valid is asked by the library: five seconds for clocks that differ; what is absent is wrong.
func (v *Visitor) Valid() error {
	now := time.Now().Unix()
	if v.Issuer != "countersign" || v.Audience == "" || v.Audience != os.Getenv("COUNTERSIGN_SITE") {
		return errors.New("not for this site")
	}
	if v.Issued == 0 || v.Issued > now+5 || v.Expires <= now-5 {
		return errors.New("not at this time")
	}
	return nil
}

type visitorKey struct{}

// countersigned lets a request through if its one assertion proves something.
func countersigned(next http.Handler) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}))
	keys := keySet{url: os.Getenv("COUNTERSIGN_JWKS"), client: http.Client{Timeout: 3 * time.Second}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var visitor Visitor
		err := errors.New("not exactly one Countersign-Assertion")
		if values := r.Header.Values("Countersign-Assertion"); len(values) == 1 {
			_, err = parser.ParseWithClaims(values[0], &visitor, keys.of)
		}
		if err != nil {
			log.Print("refused: ", err)
			w.Header().Set("WWW-Authenticate", "Countersign-Assertion")
			http.Error(w, "Only through Countersign.", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, &visitor)))
	})
}

type keySet struct {
	url     string
	client  http.Client
	lock    sync.Mutex
	keys    map[string]*ecdsa.PublicKey
	fetched time.Time
}

// of finds a token's key. Keys are fetched when first needed; again after five minutes, or for
// an unknown one, if the last time was five seconds ago.
func (s *keySet) of(token *jwt.Token) (interface{}, error) {
	if token.Header["typ"] != "countersign+jwt" {
		return nil, errors.New("a token of another kind")
	}
	kid, _ := token.Header["kid"].(string)
	s.lock.Lock()
	defer s.lock.Unlock()
	age := time.Since(s.fetched)
	if age > 5*time.Minute || (s.keys[kid] == nil && age > 5*time.Second) {
		if err := s.fetch(); err != nil {
			return nil, err
		}
	}
	if key := s.keys[kid]; key != nil {
		return key, nil
	}
	return nil, errors.New("not a key of Countersign")
}

func (s *keySet) fetch() error {
	answer, err := s.client.Get(s.url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var set struct {
		Keys []struct{ Kid, Crv, X, Y string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil || answer.StatusCode != 200 {
		return errors.New("no key set: " + answer.Status)
	}
	s.keys, s.fetched = map[string]*ecdsa.PublicKey{}, time.Now()
	for _, key := range set.Keys {
		x, wrongX := base64.RawURLEncoding.DecodeString(key.X)
		y, wrongY := base64.RawURLEncoding.DecodeString(key.Y)
		if key.Crv == "P-256" && wrongX == nil && wrongY == nil {
			x, y := new(big.Int).SetBytes(x), new(big.Int).SetBytes(y)
			s.keys[key.Kid] = &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y}
		}
	}
	return nil
}

// --- The application. ---

func main() {
	who := func(w http.ResponseWriter, r *http.Request) {
		v := r.Context().Value(visitorKey{}).(*Visitor)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]interface{}{
			"status": v.Status, "id": v.ID, "name": v.Name, "email": v.Email,
			"attributes": v.Attributes, "claimed": v.Claimed, "details": v.Details,
		})
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), countersigned(http.HandlerFunc(who))))
}
