// The lab's cluster DNS. Debian has no DNS server that knows Kubernetes; this one watches
// Services and Endpoints and answers from them:
//
//	SERVICE.NAMESPACE.svc.DOMAIN           A: the cluster IP, or every endpoint when headless; CNAME for ExternalName
//	HOSTNAME.SERVICE.NAMESPACE.svc.DOMAIN  A: the endpoint of that host name
//	_PORT._PROTOCOL.SERVICE....            SRV
//
// and fixed names given by -host name=ip. Any other name is NXDOMAIN; it never asks upstream.
// Built together with Kubernetes, from the libraries vendored there.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const ttlSeconds = 2

// hostFlag collects -host name=ip.
type hostFlag map[string]net.IP

func (h hostFlag) String() string { return "" }

func (h hostFlag) Set(s string) error {
	parts := strings.SplitN(s, "=", 2)
	if len(parts) != 2 || net.ParseIP(parts[1]) == nil {
		return fmt.Errorf("want name=ip")
	}
	h[strings.ToLower(parts[0])] = net.ParseIP(parts[1])
	return nil
}

type server struct {
	services  corev1.ServiceLister
	endpoints corev1.EndpointsLister
	hosts     hostFlag
	domain    string
}

// result is what is known about one name; exists is false for NXDOMAIN.
type result struct {
	exists bool
	ips    []net.IP
	cname  string
	srv    []dns.SRV
}

func (s *server) lookup(question string) result {
	name := strings.TrimSuffix(strings.ToLower(question), ".")
	if ip, found := s.hosts[name]; found {
		return result{exists: true, ips: []net.IP{ip}}
	}
	suffix := ".svc." + s.domain
	if !strings.HasSuffix(name, suffix) {
		return result{}
	}
	labels := strings.Split(strings.TrimSuffix(name, suffix), ".")
	n := len(labels)
	if n < 2 || n > 4 {
		return result{}
	}
	svc, err := s.services.Services(labels[n-1]).Get(labels[n-2])
	if err != nil {
		return result{}
	}
	switch n {
	case 4:
		return s.lookupPort(svc, labels[0], labels[1])
	case 3:
		return s.lookupEndpoints(svc, labels[0])
	}
	return s.lookupService(svc)
}

func (s *server) lookupService(svc *v1.Service) result {
	switch {
	case svc.Spec.Type == v1.ServiceTypeExternalName:
		return result{exists: true, cname: dns.Fqdn(svc.Spec.ExternalName)}
	case svc.Spec.ClusterIP == v1.ClusterIPNone:
		found := s.lookupEndpoints(svc, "")
		found.exists = true
		return found
	}
	return result{exists: true, ips: []net.IP{net.ParseIP(svc.Spec.ClusterIP)}}
}

// lookupEndpoints gives the addresses of the ready endpoints; of one host name when that is not empty.
func (s *server) lookupEndpoints(svc *v1.Service, hostname string) result {
	endpoints, err := s.endpoints.Endpoints(svc.Namespace).Get(svc.Name)
	if err != nil {
		return result{}
	}
	var ips []net.IP
	for _, subset := range endpoints.Subsets {
		for _, address := range subset.Addresses {
			if hostname == "" || address.Hostname == hostname {
				ips = append(ips, net.ParseIP(address.IP))
			}
		}
	}
	return result{exists: len(ips) > 0, ips: ips}
}

func (s *server) lookupPort(svc *v1.Service, port, protocol string) result {
	target := fmt.Sprintf("%s.%s.svc.%s.", svc.Name, svc.Namespace, s.domain)
	var found []dns.SRV
	for _, p := range svc.Spec.Ports {
		if "_"+p.Name == port && "_"+strings.ToLower(string(p.Protocol)) == protocol {
			found = append(found, dns.SRV{Weight: 100, Port: uint16(p.Port), Target: target})
		}
	}
	return result{exists: len(found) > 0, srv: found}
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttlSeconds}
}

// records turns a result into the answer section for one question.
func (s *server) records(q dns.Question, found result) []dns.RR {
	var answer []dns.RR
	owner := q.Name
	if found.cname != "" {
		answer = append(answer, &dns.CNAME{Hdr: header(owner, dns.TypeCNAME), Target: found.cname})
		owner = found.cname
		found.ips = s.lookup(found.cname).ips
	}
	if q.Qtype == dns.TypeA {
		for _, ip := range found.ips {
			answer = append(answer, &dns.A{Hdr: header(owner, dns.TypeA), A: ip})
		}
	}
	if q.Qtype == dns.TypeSRV {
		for i := range found.srv {
			found.srv[i].Hdr = header(owner, dns.TypeSRV)
			answer = append(answer, &found.srv[i])
		}
	}
	return answer
}

// ServeDNS answers one message.
func (s *server) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(request)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if len(request.Question) == 1 {
		question := request.Question[0]
		found := s.lookup(question.Name)
		if found.exists {
			reply.Answer = s.records(question, found)
		} else {
			reply.Rcode = dns.RcodeNameError
		}
	}
	if err := w.WriteMsg(reply); err != nil {
		log.Print(err)
	}
}

func main() {
	hosts := hostFlag{}
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	listen := flag.String("listen", ":53", "address:port, UDP and TCP")
	domain := flag.String("domain", "cluster.local", "cluster domain")
	flag.Var(hosts, "host", "name=ip, a fixed name (repeatable)")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	s := &server{
		services:  factory.Core().V1().Services().Lister(),
		endpoints: factory.Core().V1().Endpoints().Lister(),
		hosts:     hosts,
		domain:    *domain,
	}
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	log.Print("synced, listening on ", *listen)

	failed := make(chan error)
	for _, network := range []string{"udp", "tcp"} {
		go func(network string) {
			failed <- (&dns.Server{Addr: *listen, Net: network, Handler: s}).ListenAndServe()
		}(network)
	}
	log.Fatal(<-failed)
}
