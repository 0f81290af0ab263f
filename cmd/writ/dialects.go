package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
	hanteraiam "github.com/writ-authz/writ/cmd/writ/dialects/hantera"
	"github.com/writ-authz/writ/cmd/writ/dialects/lerian"
	"github.com/writ-authz/writ/cmd/writ/dialects/miniorange"
	"github.com/writ-authz/writ/cmd/writ/dialects/policyserver"
	"github.com/writ-authz/writ/cmd/writ/dialects/rustici"
	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// builtDialects are the dialects of this version, a line each.
func builtDialects() []*dialects.Dialect {
	return []*dialects.Dialect{
		hanteraiam.New(),
		lerian.New(),
		miniorange.New(),
		policyserver.New(),
		rustici.New(),
	}
}

// dialectNames are all that the configuration and policy data know.
func dialectNames() []string {
	return []string{"hantera", "lerian", "miniorange", "policyserver", "rustici"}
}

// dialectConfig is what an operator says about one dialect.
type dialectConfig struct {
	Enabled     bool
	Path        string // what its routes are below on Writ's own listeners; absent: its name
	Listen      string // own address of its public routes; absent: below Path on the public listener
	AdminListen string // own address of its management routes; absent: below Path on the admin listener
}

func defaultDialects() map[string]*dialectConfig {
	all := map[string]*dialectConfig{}
	for _, name := range dialectNames() {
		all[name] = &dialectConfig{Path: "/" + name}
	}
	return all
}

func dialectOptions(c *Config) []option {
	var rows []option
	for _, name := range dialectNames() {
		d := c.Dialects[name]
		rows = append(rows,
			option{key: "dialects_" + name + "_enabled", field: &d.Enabled, usage: "serve the clients of " + name + ", as they speak (docs/dialects.md)"},
			option{key: "dialects_" + name + "_path", field: &d.Path, usage: "what the routes of " + name + " are below"},
			option{key: "dialects_" + name + "_listen", field: &d.Listen, usage: "own address of the token and decision routes of " + name},
			option{key: "dialects_" + name + "_admin_listen", field: &d.AdminListen, usage: "own address of the management routes of " + name},
		)
	}
	return rows
}

// enabledDialects are those that are on, in the order of their names.
func (c *Config) enabledDialects() []*dialects.Dialect {
	var on []*dialects.Dialect
	for _, d := range builtDialects() {
		if c.Dialects[d.Name].Enabled {
			on = append(on, d)
		}
	}
	return on
}

// nativeSegments are the first segments of Writ's own paths, which no dialect stands in front of.
func nativeSegments() []string {
	return []string{
		"v1", "oauth2", "connect", "token", "access", "forward-auth", ".well-known", "livez", "readyz", "metrics", "openapi.json", "docs", "bench",
	}
}

func (c *Config) validateDialects(wrong func(key, format string, args ...any)) {
	paths, addresses := map[string]string{}, map[string]string{c.Listen: "listen", c.AdminListen: "admin_listen"}
	shape := regexp.MustCompile(`^(/[a-z0-9][a-z0-9._-]*)+$`)
	for _, name := range dialectNames() {
		d, key := c.Dialects[name], "dialects_"+name+"_"
		if !d.Enabled {
			continue
		}
		if !slices.ContainsFunc(builtDialects(), func(built *dialects.Dialect) bool { return built.Name == name }) {
			wrong(key+"enabled", "this version does not serve %s yet; leave it out", name)
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(d.Path, "/"), "/")
		if !shape.MatchString(d.Path) || slices.Contains(nativeSegments(), first) {
			wrong(key+"path", "%q is not a path of lower-case segments such as /%s that Writ does not use itself", d.Path, name)
		}
		for other, owner := range paths {
			if _, below := dialects.Below(other, d.Path); below {
				wrong(key+"path", "%q is inside %s, the path of %s; give each dialect its own", d.Path, other, owner)
			} else if _, above := dialects.Below(d.Path, other); above {
				wrong(key+"path", "%q is around %s, the path of %s; give each dialect its own", d.Path, other, owner)
			}
		}
		paths[d.Path] = name
		for _, l := range []struct{ key, address, cert string }{
			{key + "listen", d.Listen, c.TLSCertFile}, {key + "admin_listen", d.AdminListen, c.AdminTLSCertFile},
		} {
			if l.address == "" {
				continue
			}
			_, port, err := net.SplitHostPort(l.address)
			_, bad := strconv.ParseUint(port, 10, 16)
			switch {
			case err != nil || bad != nil:
				wrong(l.key, "%q is not host:port, such as 127.0.0.1:4000", l.address)
			case !ephemeral(l.address) && addresses[l.address] != "":
				wrong(l.key, "%s is the address of %s, too; an own listener has an address of its own", l.address, addresses[l.address])
			case l.cert == "" && !loopback(l.address) && !c.InsecureHTTP:
				wrong(l.key, "%s is not a loopback address and has no TLS; set the certificate of the listener that it stands for, or "+
					"insecure_http=true behind a proxy that terminates TLS", l.address)
			}
			addresses[l.address] = l.key
		}
	}
}

// ownListener is an address that serves one plane of one dialect and nothing else.
type ownListener struct {
	name     string
	plane    dialects.Plane
	listener net.Listener
}

func (e *endpoints) bindDialects(ctx context.Context, config *Config) error {
	var listen net.ListenConfig
	for _, d := range config.enabledDialects() {
		settings := config.Dialects[d.Name]
		for _, l := range []struct {
			key, address string
			plane        dialects.Plane
		}{{"listen", settings.Listen, dialects.Public}, {"admin_listen", settings.AdminListen, dialects.Admin}} {
			if l.address == "" {
				continue
			}
			bound, err := listen.Listen(ctx, "tcp", l.address)
			if err != nil {
				return fmt.Errorf("dialects_%s_%s: %w; stop what uses it, or choose another address", d.Name, l.key, err)
			}
			e.dialects = append(e.dialects, ownListener{name: d.Name, plane: l.plane, listener: bound})
		}
	}
	return nil
}

// bootstrapDialects makes the applications that people sign in with where the clients of a dialect name none (D-04).
func (n *node) bootstrapDialects(ctx context.Context) error {
	for _, d := range n.config.enabledDialects() {
		if d.Application == "" {
			continue
		}
		err := n.room.BuiltIn(ctx, identity.BuiltIn{
			ID: d.Application, Description: "Sign-ins by the dialect " + d.Name + " that name no application", SigningAlg: d.SigningAlg,
		})
		if err != nil {
			return fmt.Errorf("dialects_%s_enabled: %w", d.Name, err)
		}
	}
	return nil
}

// front is the dialects that are on, in front of the native handlers.
type front struct {
	node *node
	// native are Writ's own listeners; they are one where the listeners are merged.
	native map[dialects.Plane]*enforce.Listener
	on     map[string]map[dialects.Plane]*dialects.Mounted
}

// dialects mounts each plane of each dialect that is on. Rules see the name of the dialect in every native call.
func (n *node) dialects(public, admin *enforce.Listener) *front {
	f := &front{
		node: n, native: map[dialects.Plane]*enforce.Listener{dialects.Public: public, dialects.Admin: admin},
		on: map[string]map[dialects.Plane]*dialects.Mounted{},
	}
	for _, d := range n.config.enabledDialects() {
		f.on[d.Name] = map[dialects.Plane]*dialects.Mounted{}
		for plane, native := range f.native {
			f.on[d.Name][plane] = &dialects.Mounted{
				Dialect: d, Base: n.config.Dialects[d.Name].Path, Now: n.now, Native: map[dialects.Plane]http.Handler{plane: spoken(d.Name, native)},
			}
		}
	}
	return f
}

// spoken marks what a dialect asks of a native handler.
func spoken(name string, native http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := policies.WithDialect(r.Context(), name)
		enforce.EventFrom(ctx).Follow(name)
		native.ServeHTTP(w, r.WithContext(ctx))
	})
}

// listener is what one of Writ's own listeners serves: below the path of a dialect its routes of that plane, of both where the listeners
// are merged, and else the native ones. A dialect with own addresses is not here.
func (f *front) listener(plane dialects.Plane, merged bool, native *enforce.Listener) refuser {
	placed := map[string]*dialects.Mounted{}
	for name, planes := range f.on {
		settings := f.node.config.Dialects[name]
		here := *planes[plane]
		here.Native = map[dialects.Plane]http.Handler{}
		if settings.Listen == "" && plane == dialects.Public {
			maps.Copy(here.Native, planes[dialects.Public].Native)
		}
		if settings.AdminListen == "" && (plane == dialects.Admin || merged) {
			maps.Copy(here.Native, planes[dialects.Admin].Native)
		}
		if len(here.Native) > 0 {
			placed[here.Base] = &here
		}
	}
	if len(placed) == 0 {
		return native
	}
	return beside{placed: placed, native: native}
}

// refuser serves a listener, and refuses a request in the language in which it would have been answered.
type refuser interface {
	http.Handler
	Refuse(w http.ResponseWriter, r *http.Request, err error)
}

// beside is a listener with dialects below paths of their own.
type beside struct {
	placed map[string]*dialects.Mounted
	native *enforce.Listener
}

func (b beside) at(path string) *dialects.Mounted {
	for base, mounted := range b.placed {
		if _, below := dialects.Below(base, path); below {
			return mounted
		}
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (b beside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if mounted := b.at(r.URL.Path); mounted != nil {
		mounted.ServeHTTP(w, r)
		return
	}
	b.native.ServeHTTP(w, r)
}

// Refuse implements refuser.
func (b beside) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	if mounted := b.at(r.URL.Path); mounted != nil {
		alone{mounted, b.native}.Refuse(w, r, err)
		return
	}
	b.native.Refuse(w, r, err)
}

// alone is a listener with one dialect and nothing else.
type alone struct {
	*dialects.Mounted
	native *enforce.Listener
}

// Refuse implements refuser.
func (a alone) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	a.Mounted.Refuse(w, r, func(native http.ResponseWriter) { a.native.Refuse(native, r, err) })
}

// own are the servers of the addresses that serve one plane of one dialect, with the certificate of that plane.
func (f *front) own(bound []ownListener) ([]listening, error) {
	var all []listening
	for _, o := range bound {
		here := *f.on[o.name][o.plane]
		here.Base = ""
		framed, err := f.node.framed(o.name+" "+string(o.plane), alone{&here, f.native[o.plane]})
		if err != nil {
			return nil, err
		}
		cert, key := f.node.config.TLSCertFile, f.node.config.TLSKeyFile
		if o.plane == dialects.Admin {
			cert, key = f.node.config.AdminTLSCertFile, f.node.config.AdminTLSKeyFile
		}
		served, err := f.node.server(framed, framed, o.listener, cert, key)
		if err != nil {
			return nil, err
		}
		all = append(all, served)
	}
	return all, nil
}

// tellDialects logs where each dialect serves.
func (n *node) tellDialects(ctx context.Context, at *endpoints) {
	for _, d := range n.config.enabledDialects() {
		settings := n.config.Dialects[d.Name]
		where := map[dialects.Plane]string{
			dialects.Public: at.publicAddress() + settings.Path, dialects.Admin: at.adminAddress() + settings.Path,
		}
		for _, own := range at.dialects {
			if own.name == d.Name {
				where[own.plane] = own.listener.Addr().String()
			}
		}
		n.logger.InfoContext(ctx, "dialect", "dialect", d.Name, "public", where[dialects.Public], "admin", where[dialects.Admin])
	}
}
