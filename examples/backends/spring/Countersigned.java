// Spring Boot 3 with Nimbus, which is Spring's own JWT library: answers nobody but those whom
// Countersign vouches for. NOT EXECUTED by the project's tests.
//
// Needs spring-boot-starter-web and com.nimbusds:nimbus-jose-jwt (9.37 or later), and
// COUNTERSIGN_JWKS and COUNTERSIGN_SITE in the environment: without one it does not start.

package com.example.backend;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.BadJWTException;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.URL;
import java.time.Instant;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.stereotype.Component;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestAttribute;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.filter.OncePerRequestFilter;

@Component
@Order(Ordered.HIGHEST_PRECEDENCE)
class Countersigned extends OncePerRequestFilter {
    private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();

    Countersigned(
            @Value("${COUNTERSIGN_JWKS}") URL jwks, @Value("${COUNTERSIGN_SITE}") String site) {
        // Fetched when first needed; again after five minutes, or for an unknown key, if the last
        // time was five seconds ago.
        var keys =
                JWKSourceBuilder.<SecurityContext>create(jwks, new DefaultResourceRetriever(3000, 3000))
                        .cache(300_000, 5_000)
                        .rateLimited(5_000)
                        .build();
        var issuer = new JWTClaimsSet.Builder().issuer("countersign").build();
        var required = Set.of("iat", "exp");
        var claims = new DefaultJWTClaimsVerifier<SecurityContext>(site, issuer, required);
        claims.setMaxClockSkew(5);
        var type = new JOSEObjectType("countersign+jwt");
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(type));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.ES256, keys));
        processor.setJWTClaimsSetVerifier(claims);
    }

    /** What the one assertion says; throws if it proves nothing. */
    private Map<String, Object> read(List<String> assertions) throws Exception {
        if (assertions.size() != 1) {
            throw new BadJWTException("not exactly one Countersign-Assertion");
        }
        var claims = processor.process(assertions.get(0), null);
        if (claims.getIssueTime().toInstant().isAfter(Instant.now().plusSeconds(5))) {
            throw new BadJWTException("issued in the future");
        }
        return claims.getClaims();
    }

    @Override
    protected void doFilterInternal(
            HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws ServletException, IOException {
        try {
            var values = Collections.list(request.getHeaders("Countersign-Assertion"));
            request.setAttribute("visitor", read(values));
        } catch (Exception refused) {
            logger.warn("refused: " + refused.getMessage());
            response.setHeader("WWW-Authenticate", "Countersign-Assertion");
            response.setStatus(HttpServletResponse.SC_UNAUTHORIZED);
            response.getWriter().print("Only through Countersign.");
            return;
        }
        chain.doFilter(request, response);
    }
}

// --- The application. ---

@RestController
class Who {
    @GetMapping("/")
    Map<String, Object> who(@RequestAttribute("visitor") Map<String, Object> visitor) {
        var who = new HashMap<String, Object>();
        who.put("id", visitor.get("sub"));
        for (var name : List.of("status", "name", "email", "attributes", "claimed", "details")) {
            who.put(name, visitor.get(name));
        }
        return who;
    }
}
